# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Prints results to standard output and errors to standard error, one reason a line.

All text and JSON of the command is printed here, and made printable first (``text``).

A reader that has ended (``blksync disks | head -1``) is no error and does not change the exit code.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Sequence, TextIO

from ..errors import BlksyncError, DeclinedError, InvalidRequestError, JobError, RefusedError
from ..text import cleaned


def say(text: str) -> None:
    """One or more lines of a result."""
    _write(sys.stdout, text)


def say_json(data: Any) -> None:
    """A result for programs."""
    _write(sys.stdout, json.dumps(cleaned(data), indent=2))


def warn(text: str) -> None:
    """Something that the user should know, but that stops nothing."""
    _write(sys.stderr, "blksync: warning: %s" % text)


def show(text: str) -> None:
    """One or more lines for the person at the terminal: no result, and no error."""
    _write(sys.stderr, text)


def ask(question: str) -> str:
    """The answer of the person at the terminal, without blanks around it; empty after Ctrl-C or an end of file."""
    try:
        _write(sys.stderr, question, end=" ")
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    if not answer.endswith("\n"):
        _write(sys.stderr, "")  # what follows begins on a line of its own
    return answer.strip()


def complain(error: BlksyncError, written: Callable[[str], str] = str) -> None:
    """What is wrong and what to do about it. ``written`` writes options as the user does."""
    for line in lines(error):
        _write(sys.stderr, "blksync: %s" % written(line))


def lines(error: BlksyncError) -> list[str]:
    """An error as lines: one for each reason, its hint in a line below."""
    if isinstance(error, RefusedError) and not isinstance(error, DeclinedError):
        found = ["refused, nothing was written:"]
        for refusal in error.refusals:
            found += ["- %s" % refusal.start, *_indented(refusal.items), *_hint(refusal.hint)]
        return found
    if isinstance(error, JobError):
        return ["%s: %s" % (error.where, problem) for problem in error.problems]
    if isinstance(error, InvalidRequestError) and len(error.problems) > 1:
        return list(error.problems)
    return [error.start, *_indented(error.items), *_hint(error.hint)]


def _indented(items: Sequence[str]) -> list[str]:
    return ["    %s" % item for item in items]


def _hint(hint: str) -> list[str]:
    return ["  %s" % hint] if hint else []


def _write(stream: TextIO, text: str, end: str = "\n") -> None:
    try:
        stream.write(cleaned(text) + end)
        stream.flush()
    except BrokenPipeError:
        # Nobody reads any more; Python would complain about the lost rest at its end.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
