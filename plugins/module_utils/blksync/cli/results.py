# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Prints the result of a sync or a comparison, as text or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Sequence

from ..errors import BlksyncError, RefusedError
from ..jobs.config import Job
from ..jobs.run import Result
from ..options import USED
from ..sync.result import copied_text, human_bytes, left_out_text
from ..text import printable
from . import messages
from .format import human_duration


def show(outcomes: Sequence[Result], check: bool, as_json: bool, job: Job | None = None) -> None:
    """Print what came of each target."""
    for result in outcomes:
        for warning in result.warnings:
            messages.warn(warning)
    if as_json:
        messages.say_json(as_data(outcomes, check, job))
        return
    for result in outcomes:
        for line in report_lines(result, check):
            messages.say(line)
        if result.error:
            messages.complain(result.error)


def show_absent(job: Job, as_json: bool) -> None:
    """Say that none of a job's backup disks is plugged in."""
    if as_json:
        messages.say_json(as_data((), False, job))
        return
    wanted = ", ".join(target.identifier for target in job.targets)
    messages.say("%s: no backup disk is plugged in (%s); nothing was done." % (job.name, wanted))


def as_data(outcomes: Sequence[Result], check: bool, job: Job | None) -> dict[str, Any]:
    """The outcome for programs; ``results`` is empty where no backup disk was there."""
    return {
        "job": job.name if job else None,
        "check": check,
        "changed": any(result.report.get("changed", False) for result in outcomes),
        "results": [
            {"identifier": result.identifier, "error": error_as_data(result.error), **result.report}
            for result in outcomes
        ],
    }


def error_as_data(error: BlksyncError | None) -> dict[str, Any] | None:
    """An error for programs."""
    if error is None:
        return None
    refusals = [asdict(refusal) for refusal in error.refusals] if isinstance(error, RefusedError) else []
    return {"kind": error.kind, "message": error.message, "hint": error.hint, "refusals": refusals}


def report_lines(result: Result, check: bool) -> list[str]:
    """What was done (in check mode: would be done) to one target, and whether it can be disconnected."""
    report = result.report
    if not report:
        return []
    lines = ["%s to %s by %s" % (disk_name(report["source"]), disk_name(report["target"]), report["engine"]["name"])]
    for pair in report["partitions"]:
        lines.append("  partition %d: %s" % (pair["number"], pair_text(pair, check)))
        lines += ["    %s" % quiesce_text(entry) for entry in pair["quiesce"]]
        lines += ["    %s" % text for text in (live_text(pair), scope_text(pair)) if text]
        lines += ["    %s" % note for note in pair["notes"]]
    lines += left_out_lines(report)
    if result.error is None and not check:
        lines.append(ending(report))
    elif not check and report["changed"] and not all(pair["complete"] for pair in report["partitions"]):
        lines.append("The backup disk is incomplete: it is no backup until a later run succeeds.")
    return lines


def left_out_lines(report: dict[str, Any]) -> list[str]:
    """The partitions of the source that were no part of it, one a line."""
    return ["  partition %s: left out" % left_out_text(entry) for entry in report["left_out"]]


def ending(report: dict[str, Any]) -> str:
    """What a success means: of the whole disk only if all of it was copied."""
    if report["left_out"]:
        off = "is powered off and " if report["powered_off"] else ""
        return "%s. The disk %scan be disconnected." % (copied_text(report), off)
    return "The backup disk is %s and can be disconnected." % ("powered off" if report["powered_off"] else "complete")


def pair_text(pair: dict[str, Any], check: bool) -> str:
    """What was done to one pair, in a few words."""
    if not pair["complete"]:
        compared, size = human_bytes(pair["bytes_compared"]), human_bytes(pair["size"] - pair["bytes_skipped"])
        return "not finished: %s of %s compared, %s written" % (compared, size, human_bytes(pair["bytes_written"]))
    took = human_duration(pair["seconds"])
    if not pair["blocks_changed"]:
        return "unchanged, %s in %s" % (human_bytes(pair["size"]), took)
    written = human_bytes(pair["bytes_written"])
    counts = (pair["blocks_changed"], pair["blocks_total"])
    if check:
        return "%d of %d blocks differ, %s would be written" % (*counts, written)
    return "%d of %d blocks differed, %s written, in %s" % (*counts, written, took)


def quiesce_text(entry: dict[str, Any]) -> str:
    """How a file system was made to hold still: "/, /home frozen for 8.2 s"."""
    places = ", ".join(printable(place) for place in entry["mountpoints"]) or entry["device"]
    return "%s %s for %s" % (places, entry["action"].replace("_", " "), human_duration(entry["seconds"]))


def live_text(pair: dict[str, Any]) -> str:
    """How a source in use was copied: "copied live: frozen for 0.08 s in all, 2 iterations (8.0 MiB, 64.0 KiB)".

    Empty where that was no question.
    """
    live = pair["live"]
    if not live or not (live["used"] or live["fallback"]):
        return ""
    if not live["used"]:
        return "not copied live: %s" % live["fallback"]["message"]
    frozen = pair["frozen_seconds"]
    return "copied live: frozen for %s in all, %d iteration%s (%s)" % (
        "%.2f s" % frozen if frozen < 1 else human_duration(frozen),
        live["iterations"],
        "" if live["iterations"] == 1 else "s",
        ", ".join(map(human_bytes, live["dirty_bytes"])),
    )


def scope_text(pair: dict[str, Any]) -> str:
    """What was left out, or why nothing was although it should: "scope used: 3.1 GiB free, not looked at"."""
    scope = pair["scope"]
    if scope["mode"] == USED:
        return "scope used: %s free, not looked at" % human_bytes(pair["bytes_skipped"])
    return "scope all: %s" % scope["reason"]["message"] if scope["reason"] else ""


def disk_name(disk: dict[str, Any]) -> str:
    """What a person knows a disk by: "/dev/sdb (22222222, Portable SSD T7, S6XNNS0T)"."""
    known = printable(", ".join(str(disk[key]) for key in ("ptuuid", "model", "serial") if disk[key]))
    return "%s (%s)" % (disk["path"], known) if known else str(disk["path"])
