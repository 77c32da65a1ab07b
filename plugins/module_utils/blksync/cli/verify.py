# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync verify`` command: compares the disks of a job by a run in check mode."""

from __future__ import annotations

import argparse
from typing import Iterator

from ..discovery import identifiers
from ..discovery.model import Machine
from ..discovery.observe import observe
from ..jobs import config, targets
from ..jobs import run as job_run
from ..jobs.run import Result
from ..sync.result import SyncReport
from ..text import human_bytes
from . import messages, results
from .arguments import ERROR, OK, TARGET_ABSENT
from .progress_bar import watch
from .sync import exit_code


def run(options: argparse.Namespace) -> int:
    """Compare all pairs of a job, in what its scope covers; ERROR if any differs."""
    job = config.load(options.job, options.config_dir)
    machine = observe()
    found = targets.look(machine, job)
    for sentence in found.strangers:
        messages.warn(sentence)
    if not found.present:
        results.show_absent(job, options.json)
        return TARGET_ABSENT
    with watch() as progress:
        outcome = job_run.verify(job, found.present, progress, options.state_dir)
    if options.json:
        results.show(outcome.results, True, True, job)
    else:
        in_use = _in_use(machine, job)
        for result in outcome.results:
            _show(result, in_use)
    failed = exit_code(outcome.results)
    return failed or (ERROR if any(result.report and result.report.changed for result in outcome.results) else OK)


def _show(result: Result, in_use: frozenset[int]) -> None:
    for warning in result.warnings:
        messages.warn(warning)
    if result.error:
        messages.complain(result.error)
    elif result.report:
        for line in _lines(result.report, in_use):
            messages.say(line)


def _lines(report: SyncReport, in_use: frozenset[int]) -> Iterator[str]:
    plan = report.plan
    yield "%s and %s" % (results.disk_name(plan.source_disk), results.disk_name(plan.target_disk))
    for pair in report.pairs:
        number = pair.pair.number
        if not pair.blocks_changed:
            text = "equal, %s compared" % human_bytes(pair.pair.size - pair.bytes_skipped)
        else:
            text = "differs in %d of %d blocks" % (pair.blocks_changed, pair.blocks_total)
            if number in in_use:
                text += " (the source is in use: it has changed since the last sync, or while it was read)"
        yield "  partition %d: %s" % (number, text)
        if results.scope_text(pair):
            yield "    %s" % results.scope_text(pair)
    yield from results.left_out_lines(report)


def _in_use(machine: Machine, job: config.Job) -> frozenset[int]:
    """The source partitions that something may write to right now."""
    partitions = [partition for disk in identifiers.matches(machine, job.sync.source) for partition in disk.partitions]
    return frozenset(
        partition.number for partition in partitions if any(not mount.read_only for mount in partition.all_mounts())
    )
