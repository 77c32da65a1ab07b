# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Asks systemd and udev: what an expression means, and whether they have read the files as they are now.

A program that is missing answers nothing: then there is nothing that could have read the files either.
"""

from __future__ import annotations

import subprocess
from typing import Iterator, Sequence

from ..errors import BlksyncError, InvalidRequestError, why
from ..system import programs
from . import udev_rules

PATIENCE = 60.0  # seconds


def time_errors(schedules: Sequence[tuple[str, str]], random_delay: str) -> Iterator[InvalidRequestError]:
    """An error for each schedule, given with the name of its job, and for the delay, that systemd does not understand.

    systemd's own parsers are asked (systemd-analyze(1)).
    """
    for name, schedule in schedules:
        problem = _misunderstood("calendar", schedule)
        if problem:
            yield InvalidRequestError(
                "Job %s: schedule is %r, which systemd does not understand: %s" % (name, schedule, problem)
            )
    problem = _misunderstood("timespan", random_delay)
    if problem:
        yield InvalidRequestError("random_delay is %r, which systemd does not understand: %s" % (random_delay, problem))


def systemd_is_behind(units: Sequence[str]) -> bool:
    """Whether systemd has loaded one of the units from files that have changed since. Raises BlksyncError."""
    answer = _run("systemctl", "show", "--property=Id,NeedDaemonReload", "--", *units) if units else ""
    return "NeedDaemonReload=yes" in answer.splitlines()


def devices_behind(digest: str) -> tuple[str, ...]:
    """The block devices that have not been through the udev rules with this digest. Raises BlksyncError."""
    return udev_rules.stale_devices(_run("udevadm", "info", "--export-db"), digest)


def _misunderstood(kind: str, text: str) -> str:
    """What systemd says against the text, or nothing."""
    program = programs.find("systemd-analyze")
    if not program:
        return ""
    answer = _result([program, kind, "--", text])
    return "" if answer.returncode == 0 else (_text(answer.stderr).strip().splitlines() or ["no reason given"])[0]


def _run(name: str, *arguments: str) -> str:
    program = programs.find(name)
    return _text(_result([program, *arguments]).stdout) if program else ""


def _result(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return programs.run(command, PATIENCE)
    except OSError as error:
        raise BlksyncError("%s does not answer: %s." % (command[0], why(error))) from error


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")
