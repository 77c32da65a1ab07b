# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync status`` command: how each backup disk stands, and what to do next."""

from __future__ import annotations

import argparse
from typing import Callable, Sequence

from ..discovery.model import Machine
from ..discovery.observe import observe
from ..errors import BlksyncError, JobError, UntrustedError, described
from ..jobs import config, timers
from ..records import store
from ..records.disk_record import COMPLETE
from ..records.progress import COPYING, State
from ..report import known, standing
from ..report.standing import DiskStanding, JobStanding
from . import messages
from .arguments import ERROR, NOT_GOOD, OK, USAGE
from .format import align, human_duration, local_time


def run(options: argparse.Namespace) -> int:
    """Print how every disk of every job stands.

    NOT_GOOD if a backup is lacking (see ``standing.all_good``), USAGE if a job's file is invalid.
    """
    jobs, invalid = _load_all(options.config_dir)
    if options.textfile:
        for error in invalid:
            messages.complain(error)
        return _write_textfiles(jobs, options.state_dir) or (USAGE if invalid else OK)
    stored = store.load_all(options.state_dir)
    now = known.look(stored, _machine())
    next_runs = timers.next_runs() if jobs else {}
    standings = [standing.assess(job, now, next_runs.get(job.name)) for job in jobs]
    others = standing.others(jobs, now)
    if options.json:
        messages.say_json(
            {
                "good": not invalid and standing.all_good(standings, others),
                "jobs": [each.as_dict() for each in standings],
                "other_disks": [disk.as_dict() for disk in others],
                "invalid": [{"file": error.where, "problems": list(error.problems)} for error in invalid],
                "problems": list(stored.problems),
            }
        )
    elif standings or others:
        messages.say("\n".join(table(standings, others)))
    else:
        messages.say("There are no jobs in %s, and nothing was copied yet." % options.config_dir)
    for error in invalid:
        messages.complain(error)
    for problem in stored.problems:
        messages.warn(problem)
    if invalid:
        return USAGE
    return OK if standing.all_good(standings, others) else NOT_GOOD


def table(standings: Sequence[JobStanding], others: Sequence[DiskStanding] = ()) -> list[str]:
    """A line for each disk; below it what to do, what went wrong and what is not on it. Jobs in need come first."""
    ordered = sorted(standings, key=lambda each: each.good)
    next_runs = {each.job: each.next_run for each in ordered}
    disks = [disk for each in ordered for disk in each.disks] + list(others)
    rows: list[tuple[str, ...]] = [("JOB", "DISK", "STATE", "LAST SUCCESS", "AGE", "VERIFIED", "NEXT RUN")]
    rows += [_row(disk, next_runs.get(disk.job)) for disk in disks]
    head, *lines = align(rows)
    result = [head]
    for disk, line in zip(disks, lines):
        result.append(line)
        result += ["    %s" % sentence for sentence in remarks(disk)]
    return result


def remarks(disk: DiskStanding) -> list[str]:
    """Sentences on a disk: what to do, the last error, what the backup does not hold."""
    progress = progress_text(disk.progress) if disk.progress else ""
    left_out = "Not on the disk: partition %s." % ", ".join(disk.left_out) if disk.left_out else ""
    error = "The last run failed: %s" % disk.last_error if disk.last_error else ""
    return [text for text in (progress, disk.next_step, error, left_out) if text]


def progress_text(state: State) -> str:
    """How far a running sync is: "Copying partition 2: 43 % of all is copied, 12 min left."."""
    left = state.seconds_left
    rest = "" if left is None or state.phase != COPYING else ", %s left" % human_duration(left)
    return "%s partition %d: %d %% of all is copied%s." % (
        state.phase.capitalize(),
        state.partition,
        state.percent,
        rest,
    )


def _row(disk: DiskStanding, next_run: float | None) -> tuple[str, ...]:
    state = disk.state.replace("_", " ")
    if disk.state == COMPLETE and disk.stale:
        state = "stale"
    return (
        disk.job or "-",
        " ".join(text for text in (disk.identifier, disk.serial and "(%s)" % disk.serial) if text),
        state,
        _or(disk.last_success, local_time, "never"),
        "?" if disk.in_future else _or(disk.age, human_duration),
        _or(disk.verified, local_time, "never"),
        _or(next_run, local_time),
    )


def _or(value: float | None, shown: Callable[[float], str], otherwise: str = "-") -> str:
    return otherwise if value is None else shown(value)


def _write_textfiles(jobs: Sequence[config.Job], state_dir: str) -> int:
    """Write the metrics of every job that wants them; ERROR if one could not be written."""
    code = OK
    machine = _machine()
    for job in jobs:
        try:
            known.write_metrics(job, state_dir, machine)
        except (OSError, UntrustedError) as error:
            messages.complain(BlksyncError("The metrics of %s cannot be written: %s." % (job.name, described(error))))
            code = ERROR
    return code


def _machine() -> Machine | None:
    """The disks that are plugged in; None if this user may not look."""
    try:
        return observe()
    except (BlksyncError, OSError):
        return None


def _load_all(directory: str) -> tuple[list[config.Job], list[JobError]]:
    known: list[config.Job] = []
    invalid: list[JobError] = []
    for name in config.names(directory):
        try:
            known.append(config.load(name, directory))
        except JobError as error:
            invalid.append(error)
    return known, invalid
