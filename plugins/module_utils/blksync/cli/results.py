# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Prints the result of a sync or a comparison, as text or as JSON."""

from __future__ import annotations

from typing import Any, Callable, Collection, Sequence

from ..discovery.model import Disk
from ..errors import BlksyncError, RefusedError
from ..jobs.config import Job
from ..jobs.run import Result
from ..options import USED
from ..quiesce.step import StepReport
from ..sync.result import PairReport, SyncReport
from ..text import human_bytes, printable
from . import messages
from .format import human_duration


def show(
    outcomes: Sequence[Result],
    check: bool,
    as_json: bool,
    job: Job | None = None,
    written: Callable[[str], str] = str,
    shown: Collection[str] = (),
) -> None:
    """Print what came of each target, without the warnings that were ``shown`` before.

    ``written`` writes options in errors as the user does.
    """
    for result in outcomes:
        for warning in result.warnings:
            if warning not in shown:
                messages.warn(warning)
    if as_json:
        messages.say_json(as_data(outcomes, check, job))
        return
    for result in outcomes:
        for line in report_lines(result, check):
            messages.say(line)
        if result.error:
            messages.complain(result.error, written)


def show_absent(job: Job, as_json: bool) -> None:
    """Say that none of a job's backup disks is plugged in."""
    if as_json:
        messages.say_json(as_data((), False, job))
        return
    wanted = ", ".join(target.identifier for target in job.targets)
    messages.say("%s: no backup disk is plugged in (%s); nothing was done." % (job.name, wanted))


def as_data(outcomes: Sequence[Result], check: bool, job: Job | None) -> dict[str, Any]:
    """The outcome for programs; ``results`` is empty if no backup disk was there."""
    return {
        "job": job.name if job else None,
        "check": check,
        "changed": any(result.report.changed for result in outcomes if result.report),
        "results": [
            {
                "identifier": result.identifier,
                "error": error_as_data(result.error),
                **(result.report.as_dict() if result.report else {}),
            }
            for result in outcomes
        ],
    }


def error_as_data(error: BlksyncError | None) -> dict[str, Any] | None:
    """An error for programs."""
    if error is None:
        return None
    refusals = [refusal.as_dict() for refusal in error.refusals] if isinstance(error, RefusedError) else []
    return {"kind": error.kind, "message": error.message, "hint": error.hint, "refusals": refusals}


def report_lines(result: Result, check: bool) -> list[str]:
    """What was done (in check mode: would be done) to one target, and whether it can be disconnected."""
    report = result.report
    if not report:
        return []
    plan = report.plan
    lines = ["%s to %s by %s" % (disk_name(plan.source_disk), disk_name(plan.target_disk), report.engine)]
    for pair in report.pairs:
        lines.append("  partition %d: %s" % (pair.pair.number, pair_text(pair, check)))
        lines += ["    %s" % quiesce_text(step) for step in pair.quiesce]
        lines += ["    %s" % text for text in (live_text(pair), scope_text(pair)) if text]
        lines += ["    %s" % note for note in pair.notes]
    lines += left_out_lines(report)
    if result.error is None and not check:
        lines.append(ending(report))
    elif not check and report.changed and not all(pair.complete for pair in report.pairs):
        lines.append("The backup disk is incomplete: it is no backup until a later run succeeds.")
    return lines


def left_out_lines(report: SyncReport) -> list[str]:
    """The partitions of the source that were no part of it, one a line."""
    return ["  partition %s: left out" % partition for partition in report.left_out]


def ending(report: SyncReport) -> str:
    """What a success means: of the whole disk only if all of it was copied."""
    if report.left_out:
        off = "is powered off and " if report.powered_off else ""
        return "%s. The disk %scan be disconnected." % (report.copied_text(), off)
    return "The backup disk is %s and can be disconnected." % ("powered off" if report.powered_off else "complete")


def pair_text(pair: PairReport, check: bool) -> str:
    """What was done to one pair, in a few words."""
    written = human_bytes(pair.bytes_written)
    if not pair.complete:
        compared, size = human_bytes(pair.bytes_compared), human_bytes(pair.pair.size - pair.bytes_skipped)
        return "not finished: %s of %s compared, %s written" % (compared, size, written)
    took = human_duration(pair.seconds)
    if not pair.blocks_changed:
        return "unchanged, %s in %s" % (human_bytes(pair.pair.size), took)
    counts = (pair.blocks_changed, pair.blocks_total)
    if check:
        return "%d of %d blocks differ, %s would be written" % (*counts, written)
    return "%d of %d blocks differed, %s written, in %s" % (*counts, written, took)


def quiesce_text(step: StepReport) -> str:
    """How a file system was quiesced: "/, /home frozen for 8.2 s"."""
    places = ", ".join(printable(place) for place in step.mountpoints) or step.device
    return "%s %s for %s" % (places, step.action.replace("_", " "), human_duration(step.seconds))


def live_text(pair: PairReport) -> str:
    """How a source in use was copied: "copied live: frozen for 0.08 s in all, 2 iterations (8.0 MiB, 64.0 KiB)".

    Empty where that was no question.
    """
    live = pair.live
    if not live or not (live.used or live.fallback):
        return ""
    if live.fallback and not live.used:
        return "not copied live: %s" % live.fallback.message
    frozen = pair.frozen_seconds
    return "copied live: frozen for %s in all, %d iteration%s (%s)" % (
        "%.2f s" % frozen if frozen < 1 else human_duration(frozen),
        live.iterations,
        "" if live.iterations == 1 else "s",
        ", ".join(map(human_bytes, live.dirty_bytes)),
    )


def scope_text(pair: PairReport) -> str:
    """What was left out, or why nothing was although it should: "scope used: 3.1 GiB free, not looked at"."""
    if pair.scope == USED:
        return "scope used: %s free, not looked at" % human_bytes(pair.bytes_skipped)
    return "scope all: %s" % pair.scope_reason.message if pair.scope_reason else ""


def disk_name(disk: Disk) -> str:
    """What a person knows a disk by: "/dev/sdb (22222222, Portable SSD T7, S6XNNS0T)"."""
    known = printable(", ".join(filter(None, (disk.ptuuid, disk.model, disk.serial))))
    return "%s (%s)" % (disk.path, known) if known else disk.path
