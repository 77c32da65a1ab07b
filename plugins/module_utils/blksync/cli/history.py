# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync history`` command: the runs of all doors, newest first."""

from __future__ import annotations

import argparse
from typing import Sequence

from ..discovery import identifiers
from ..discovery.model import Disk, Machine
from ..errors import InvalidRequestError
from ..jobs import config
from ..records import history
from ..records.run import Run
from ..text import human_bytes
from . import messages
from .arguments import OK
from .format import align, human_duration, local_time


def run(options: argparse.Namespace) -> int:
    """Print the runs, or those on one disk or of one job."""
    if options.limit is not None and options.limit < 1:
        raise InvalidRequestError("--limit is %d; give at least 1." % options.limit)
    runs = list(reversed(history.read(options.state_dir)))
    if options.of:
        runs = [each for each in runs if is_of(options.of, each)]
        if not runs and options.of not in config.names(options.config_dir):
            raise InvalidRequestError(
                "No run is known of %s." % options.of,
                "Name a job, or a disk as `blksync disks` or `blksync status` shows it.",
            )
    runs = runs[: options.limit] if options.limit else runs
    if options.json:
        messages.say_json({"runs": [each.as_dict() for each in runs]})
    elif runs:
        messages.say("\n".join(table(runs)))
    else:
        messages.say("There was no run yet.")
    return OK


def is_of(name: str, run: Run) -> bool:
    """Whether a run was one of this job, or on this disk in any form of its identifier."""
    if name in (run.job, run.identifier):
        return True
    disk = Disk("", "", "", 0, ptuuid=run.ptuuid, serial=run.serial, wwn=run.wwn)
    try:
        return bool(identifiers.matches(Machine((disk,)), name))
    except InvalidRequestError:  # the name of a job that no longer exists
        return False


def table(runs: Sequence[Run]) -> list[str]:
    """The runs as aligned lines, what went wrong below each."""
    rows: list[tuple[str, ...]] = [("WHEN", "DISK", "BY", "WHAT", "RESULT", "WRITTEN", "TOOK")]
    rows += [_row(each) for each in runs]
    head, *lines = align(rows)
    result = [head]
    for each, line in zip(runs, lines):
        result.append(line)
        if each.error_message:
            result.append("    %s" % each.error_message)
    return result


def _row(run: Run) -> tuple[str, ...]:
    if run.error_kind is None:
        outcome = "changed" if run.changed else "unchanged"
    else:
        outcome = "failed, disk incomplete" if run.wrote else "failed"
    return (
        local_time(run.start),
        run.ptuuid or run.identifier,
        run.job or run.door,
        run.operation,
        "killed" if run.end is None else outcome,
        human_bytes(run.bytes_written),
        "-" if run.duration is None else human_duration(run.duration),
    )
