# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Parses the output of blocksync-fast strictly: output that is not understood is an error, never "unchanged"."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Mapping

from ...errors import EngineError
from .buffer import Geometry

KNOWN_VERSIONS = ("1.0.7",)
UNKNOWN = "The target is in an unknown state until a later run succeeds."

_VERSION = re.compile(r"blocksync-fast version (\d+(?:\.\d+){0,3})(?:,|$)", re.ASCII)
_SUMMARY = re.compile(
    r"(?P<verb>Updated|Copied|Created): (?P<blocks>\d{1,20})/(?P<blocks_total>\d{1,20}) blocks, "
    r"(?P<size>\d{1,20})/(?P<size_total>\d{1,20}) bytes\.",
    re.ASCII,
)
_SUMMARY_WORDS = re.compile(r"\b(Updated|Copied|Created): ")
_PROGRESS = re.compile(r"\rProgress: (\d{1,3}(?:\.\d{1,2})?)%", re.ASCII)
_PROGRESS_TAIL = 80  # characters: more than two progress texts
_QUOTE = 400  # characters of the program's words in a message


@dataclass(frozen=True)
class Ended:
    """How a program ended. ``status`` is its exit code, or the negative number of the signal that killed it;
    ``output`` and ``errors`` are the ends of standard output and standard error."""

    status: int
    output: str
    errors: str


@dataclass(frozen=True)
class Summary:
    """The last line: ``blocks`` of ``block`` bytes and ``size`` bytes that the program counts as written."""

    blocks: int
    size: int


def parse_version(text: str) -> str:
    """The version in the output of ``-V``, in three parts ("1.0.7", printed as 1.07); empty if it is none."""
    match = _VERSION.match(text.split("\n", 1)[0])
    if not match:
        return ""
    # Upstream prints 1.07 for the release that it calls 1.0.7.
    short = re.fullmatch(r"(\d+)\.(\d)(\d)", match.group(1))
    return ".".join(short.groups()) if short else match.group(1)


def parse_algorithms(text: str) -> list[str]:
    """The names in the output of ``--list-algos``, one of each line that begins with two blanks."""
    return re.findall(r"^ {2}(\w+) - ", text, re.MULTILINE | re.ASCII)


def parse_progress(text: str) -> float:
    """The last percentage printed, from 0 to 100; -1 where there is none yet."""
    percentages = _PROGRESS.findall(text[-_PROGRESS_TAIL:])
    return min(float(percentages[-1]), 100.0) if percentages else -1.0


def parse_sync(text: str, size: int, geometry: Geometry) -> Summary:
    """The counts of a run that compared a pair of ``size`` bytes.

    Raises EngineError unless the output ends in exactly one summary line, says "Updated" ("Copied" would mean that
    the target did not exist), and has counts that fit the size and the block size.
    """
    lines = text.split("\n")
    # The text after the last line end is empty in a complete output.
    match = _SUMMARY.fullmatch(lines[-2]) if len(lines) > 1 and not lines[-1] else None
    if match is None:
        raise _distrust("ended without its summary", text)
    if len(_SUMMARY_WORDS.findall(text)) != 1:
        raise _distrust("gave more than one summary", text)
    if match.group("verb") != "Updated":
        raise _distrust("did not compare with the target", text)
    summary = Summary(int(match.group("blocks")), int(match.group("size")))
    totals = (int(match.group("blocks_total")), int(match.group("size_total")))
    if totals != (geometry.blocks, size) or not _is_consistent(summary, size, geometry):
        raise _distrust("gave counts that do not fit %d bytes in %d blocks" % (size, geometry.blocks), text)
    return summary


def _is_consistent(summary: Summary, size: int, geometry: Geometry) -> bool:
    last = size - (geometry.blocks - 1) * geometry.block
    without_last = summary.blocks * geometry.block
    with_last = without_last - geometry.block + last
    return (summary.blocks < geometry.blocks and summary.size == without_last) or (
        0 < summary.blocks <= geometry.blocks and summary.size == with_last
    )


def failure(ended: Ended, names: Mapping[str, str]) -> EngineError:
    """The error for a program that did not end cleanly: its status, or anything on standard error.

    ``names`` maps the paths that the program was given to those that the user knows.
    """
    what = how_it_ended(ended.status) if ended.status else "complained"
    words = ended.errors if ended.errors.strip() else ended.output
    for name, path in names.items():
        words = words.replace("'%s'" % name, path)
    return _distrust(what, words)


def how_it_ended(status: int) -> str:
    """ "ended with status 1", or the signal that killed the program and what it means."""
    if status >= 0:
        return "ended with status %d" % status
    meaning = " (it was built for another processor)" if -status == signal.SIGILL else ""
    return "was killed by %s%s" % (_signal_name(-status), meaning)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def _distrust(what: str, text: str) -> EngineError:
    return EngineError("blocksync-fast %s. Its last words: %s." % (what, quote(text)), UNKNOWN)


def quote(text: str) -> str:
    """The end of what the program said, in quotes, without progress and unprintable characters; or "none"."""
    printable = "".join(c if c.isprintable() else " " for c in _PROGRESS.sub(" ", text))
    words = " ".join(printable.split())
    return '"%s"' % words[-_QUOTE:].strip().rstrip(".") if words else "none"
