# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The report of a sync, as data for the module's result, the command's output and the history."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..digests.store import DigestReport
from ..discovery.model import Disk
from ..engines.base import Outcome
from ..errors import Reason
from ..options import ALL
from ..quiesce.step import StepReport
from ..text import printable
from . import coverage
from .plan import Pair, Plan


@dataclass
class LiveReport:
    """How a copy of a source in use went. ``fallback`` says why the source was frozen for the whole pass after all;
    ``dirty_bytes`` has what each pre-copy iteration found written meanwhile, the frozen one last."""

    used: bool = False
    fallback: Reason | None = None
    dirty_bytes: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        return {**asdict(self), "iterations": len(self.dirty_bytes)}


@dataclass
class PairReport:
    """What happened to one pair. Sizes are bytes, ``seconds`` is the time from quiescing to the last proof.

    ``scope`` is what was copied, ``scope_reason`` why that is all of it although less was asked for; ``bytes_read``
    are those of both sides together.
    """

    pair: Pair
    blocks_total: int = 0
    blocks_changed: int = 0
    block_size: int = 0
    bytes_written: int = 0
    bytes_compared: int = 0
    bytes_read: int = 0
    bytes_skipped: int = 0
    bytes_verified: int = 0
    scope: str = ALL
    scope_reason: Reason | None = None
    live: LiveReport | None = None
    verify: str = "auto"
    quiesce: list[StepReport] = field(default_factory=list)
    digest: DigestReport | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    writing: bool = False  # from the moment that the engine may write until the pair is complete
    complete: bool = False

    def finish(self, outcome: Outcome) -> None:
        """The pair is equal and verified, or was compared: take over what was counted."""
        self.block_size = outcome.block
        self.blocks_total = outcome.blocks_total
        self.blocks_changed = outcome.blocks_changed
        self.bytes_written = outcome.bytes_written
        self.bytes_read = outcome.bytes_read
        self.notes += outcome.notes
        self.writing = False
        self.complete = True

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        return {
            "number": self.pair.number,
            "source": self.pair.source.path,
            "target": self.pair.target.path,
            "size": self.pair.size,
            "block_size": self.block_size,
            "blocks_total": self.blocks_total,
            "blocks_changed": self.blocks_changed,
            "bytes_written": self.bytes_written,
            "bytes_compared": self.bytes_compared,
            "bytes_read": self.bytes_read,
            "bytes_skipped": self.bytes_skipped,
            "scope": {"mode": self.scope, "reason": _as_dict(self.scope_reason)},
            "live": self.live.as_dict() if self.live else None,
            "frozen_seconds": max((step.frozen_seconds for step in self.quiesce), default=0.0),
            "quiesce": [asdict(step) for step in self.quiesce],
            "verified": {"mode": self.verify, "bytes_read": self.bytes_verified},
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
            "complete": self.complete,
        }


@dataclass
class SyncReport:
    """What a sync did (in check mode: would do) so far; ``pairs`` grows while it runs. ``created``: of an image file,
    that it was not there before."""

    plan: Plan
    engine: str
    engine_version: str
    check: bool
    pairs: list[PairReport] = field(default_factory=list)
    powered_off: bool = False
    created: bool = False
    interrupted: str = ""  # a signal that came when nothing was left to end
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True exactly when bytes on the target differ (would differ) from before; after a failure, when they may."""
        return self.created or any(pair.blocks_changed or pair.writing for pair in self.pairs)

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """The partitions of the source that are no pair (see coverage.left_out)."""
        return coverage.left_out(self.plan.source, [pair.number for pair in self.plan.pairs])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data: the documented result of disk_sync."""
        return {
            "changed": self.changed,
            "source": _disk(self.plan.source),
            "target": _disk(self.plan.target),
            "engine": {"name": self.engine, "version": self.engine_version},
            "partitions": [pair.as_dict() for pair in self.pairs],
            "left_out": self.left_out,
            "bytes_written": sum(pair.bytes_written for pair in self.pairs),
            "powered_off": self.powered_off,
        }

    def as_image_dict(self) -> dict[str, Any]:
        """The documented result of image_sync: what belongs to whole disks left out."""
        result = dict(self.as_dict(), created=self.created)
        result["partitions"] = [
            dict(pair.as_dict(), digest=pair.digest.as_dict() if pair.digest else None) for pair in self.pairs
        ]
        del result["powered_off"], result["left_out"]
        return result

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each partition of the source, for ``--diff``."""
        left_out = "".join("partition %s is left out\n" % left_out_text(entry) for entry in self.left_out)
        return {
            "before_header": "%s (before)" % _path(self.plan.target),
            "after_header": "%s (after)" % _path(self.plan.target),
            "before": "".join(_before(pair) for pair in self.pairs) + left_out,
            "after": "".join(_equal(pair) for pair in self.pairs) + left_out,
        }


def left_out_text(entry: dict[str, Any]) -> str:
    """A partition of ``left_out`` as people know it: "3 (/home, 20.0 GiB)", '4 ("data", ext4, 8.0 GiB)'."""
    label = '"%s"' % entry["label"] if entry["label"] else ""
    known = entry["mountpoints"] or [text for text in (label, entry["fstype"]) if text]
    size = [] if entry["size"] is None else [human_bytes(entry["size"])]
    described = ", ".join([*map(printable, known), *size])
    return "%d (%s)" % (entry["number"], described) if described else "%d" % entry["number"]


def copied_text(report: dict[str, Any], on: str = "") -> str:
    """What a sync copied and, in the same sentence, what it did not: for a result in which something is left out.

    "Partitions 1 and 2 are complete; partition 3 (/home, 20.0 GiB) was not copied": no full stop at the end. ``on``
    is the disk, if it is to be named.
    """
    copied = [str(pair["number"]) for pair in report["partitions"]]
    missing = [left_out_text(entry) for entry in report["left_out"]]
    return "%s %s %s complete%s; %s %s %s not copied" % (
        *("Partitions" if len(copied) > 1 else "Partition", coverage.enumerated(copied)),
        "are" if len(copied) > 1 else "is",
        " on %s" % on if on else "",
        *("partitions" if len(missing) > 1 else "partition", coverage.enumerated(missing)),
        "were" if len(missing) > 1 else "was",
    )


def human_bytes(count: float) -> str:
    """A number of bytes as people read it: "512 bytes", "4.8 MiB"."""
    if count < 1024:
        return "%d bytes" % count
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024.0
        if count < 1024:
            return "%.1f %s" % (count, unit)
    return "%.1f TiB" % (count / 1024.0)


def _path(disk: Disk | None) -> str:
    return disk.path if disk else ""


def _disk(disk: Disk | None) -> dict[str, Any]:
    if disk is None:
        return {}
    return {
        "path": disk.path,
        "ptuuid": disk.ptuuid,
        "model": disk.model,
        "serial": disk.serial,
        "size": disk.size,
    }


def _as_dict(reason: Reason | None) -> dict[str, Any] | None:
    return asdict(reason) if reason else None


def _equal(report: PairReport) -> str:
    return "%s: %s is equal to %s\n" % (_name(report), report.pair.target.path, report.pair.source.path)


def _name(report: PairReport) -> str:
    """Images have no number."""
    return "partition %d" % report.pair.number if report.pair.number else "image"


def _before(report: PairReport) -> str:
    if not report.blocks_changed:
        return _equal(report)
    return "%s: %s differs from %s in %d of %d blocks (%s)\n" % (
        _name(report),
        report.pair.target.path,
        report.pair.source.path,
        report.blocks_changed,
        report.blocks_total,
        human_bytes(report.bytes_written),
    )
