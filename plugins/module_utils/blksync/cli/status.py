# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync status`` command: shows the state of each job."""

from __future__ import annotations

import argparse
import time
from typing import Callable, Sequence

from ..errors import JobError
from ..jobs import config, history, run_lock, timers
from ..jobs.status import Standing, assess_all
from ..text import human_bytes
from . import messages
from .arguments import OK, STALE, USAGE
from .format import align, human_duration, local_time


def run(options: argparse.Namespace) -> int:
    """Print how every job stands; STALE if a backup is too old, USAGE if a job file is invalid."""
    known, invalid = _load_all(options.config_dir)
    names, directory = [job.name for job in known], options.state_dir
    standings = assess_all(
        known,
        {name: history.read(name, directory) for name in names},
        {name: run_lock.read(name, directory) for name in names},
        timers.next_runs() if known else {},
        time.time(),
    )
    if options.json:
        messages.say_json(
            {
                "jobs": [standing.as_dict() for standing in standings],
                "invalid": [{"file": error.where, "problems": list(error.problems)} for error in invalid],
            }
        )
    elif standings:
        messages.say("\n".join(table(standings)))
    else:
        messages.say("There are no jobs in %s." % options.config_dir)
    for error in invalid:
        messages.complain(error)
    if invalid:
        return USAGE
    return STALE if any(standing.stale for standing in standings) else OK


def table(standings: Sequence[Standing]) -> list[str]:
    """The jobs as aligned lines, each last error under its job."""
    rows: list[tuple[str, ...]] = [("JOB", "STATE", "LAST SUCCESS", "AGE", "TOOK", "WRITTEN", "NEXT RUN")]
    rows += [_row(standing) for standing in standings]
    head, *lines = align(rows)
    result = [head]
    for standing, line in zip(standings, lines):
        result.append(line)
        if standing.stale:
            result.append("    stale: %s" % _why_stale(standing))
        if standing.last_error:
            result.append("    %s" % standing.last_error)
    return result


def _row(standing: Standing) -> tuple[str, ...]:
    return (
        standing.job,
        standing.state,
        "never" if standing.last_success is None else local_time(standing.last_success),
        _or_dash(standing.age, human_duration),
        _or_dash(standing.duration, human_duration),
        _or_dash(standing.bytes_written, human_bytes),
        _or_dash(standing.next_run, local_time),
    )


def _why_stale(standing: Standing) -> str:
    if standing.age is None:
        return "it never succeeded"
    return "the last success is older than %s" % human_duration(standing.max_age or 0)


def _or_dash(value: float | None, shown: Callable[[float], str]) -> str:
    return "-" if value is None else shown(value)


def _load_all(directory: str) -> tuple[list[config.Job], list[JobError]]:
    known: list[config.Job] = []
    invalid: list[JobError] = []
    for name in config.names(directory):
        try:
            known.append(config.load(name, directory))
        except JobError as error:
            invalid.append(error)
    return known, invalid
