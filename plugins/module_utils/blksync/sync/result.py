# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a sync did, typed: command, history, metrics and notification take it as it is, JSON takes ``as_dict``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..digests.store import DigestReport
from ..discovery.model import Disk
from ..engines.base import Outcome
from ..errors import Reason
from ..options import ALL
from ..quiesce.step import StepReport
from ..text import human_bytes
from . import coverage
from .coverage import LeftOut, enumerated
from .plan import Pair, Plan


@dataclass
class LiveReport:
    """How a copy of a source in use went. ``fallback`` says why the source was frozen for the whole pass after all;
    ``dirty_bytes`` has what each pre-copy iteration found written meanwhile, the frozen one last."""

    used: bool = False
    fallback: Reason | None = None
    dirty_bytes: list[int] = field(default_factory=list)

    @property
    def iterations(self) -> int:
        """How many passes copied what was written during the pass before."""
        return len(self.dirty_bytes)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        return {**asdict(self), "iterations": self.iterations}


@dataclass
class PairReport:
    """What happened to one pair. Sizes are bytes, ``seconds`` is the time from quiescing to the end of verifying.

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

    @property
    def frozen_seconds(self) -> float:
        """For how long writers had to wait: the longest time of all file systems."""
        return max((step.frozen_seconds for step in self.quiesce), default=0.0)

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
            "scope": {"mode": self.scope, "reason": asdict(self.scope_reason) if self.scope_reason else None},
            "live": self.live.as_dict() if self.live else None,
            "frozen_seconds": self.frozen_seconds,
            "quiesce": [asdict(step) for step in self.quiesce],
            "verified": {"mode": self.verify, "bytes_read": self.bytes_verified},
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
            "complete": self.complete,
        }


@dataclass
class CopyReport:
    """What a run over pairs did (in check mode: would do) so far; ``pairs`` grows while it runs."""

    plan: Plan
    engine: str
    engine_version: str
    check: bool
    pairs: list[PairReport] = field(default_factory=list)
    interrupted: str = ""  # a signal that came when nothing was left to end
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True exactly when bytes on the target differ (would differ) from before; after a failure, when they may."""
        return any(pair.blocks_changed or pair.writing for pair in self.pairs)

    @property
    def bytes_written(self) -> int:
        """What was written to all pairs together."""
        return sum(pair.bytes_written for pair in self.pairs)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data: what the documented results of disk_sync and image_sync have in common."""
        return {
            "changed": self.changed,
            "source": _disk(self.plan.source),
            "target": _disk(self.plan.target),
            "engine": {"name": self.engine, "version": self.engine_version},
            "partitions": [pair.as_dict() for pair in self.pairs],
            "bytes_written": self.bytes_written,
        }

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each pair, for ``--diff``."""
        return {
            "before_header": "%s (before)" % _path(self.plan.target),
            "after_header": "%s (after)" % _path(self.plan.target),
            "before": "".join(map(_before, self.pairs)),
            "after": "".join(map(_equal, self.pairs)),
        }


@dataclass
class SyncReport(CopyReport):
    """A run of disk_sync."""

    powered_off: bool = False

    @property
    def left_out(self) -> list[LeftOut]:
        """The partitions of the source that are no pair."""
        return coverage.left_out(self.plan.source, [pair.number for pair in self.plan.pairs])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data: the documented result of disk_sync."""
        left_out = [asdict(partition) for partition in self.left_out]
        return dict(super().as_dict(), left_out=left_out, powered_off=self.powered_off)

    def diff(self) -> dict[str, str]:
        """Before and after, one line for each partition of the source, for ``--diff``."""
        found = super().diff()
        lines = "".join("partition %s is left out\n" % partition for partition in self.left_out)
        return dict(found, before=found["before"] + lines, after=found["after"] + lines)

    def copied_text(self, on: str = "") -> str:
        """What was copied and, in the same sentence, what was not: for a run that leaves something out.

        "Partitions 1 and 2 are complete; partition 3 (/home, 20.0 GiB) was not copied": no full stop at the end.
        ``on`` is the disk, if it is to be named.
        """
        copied = [str(report.pair.number) for report in self.pairs]
        missing = [str(partition) for partition in self.left_out]
        return "%s %s %s complete%s; %s %s %s not copied" % (
            *("Partitions" if len(copied) > 1 else "Partition", enumerated(copied)),
            "are" if len(copied) > 1 else "is",
            " on %s" % on if on else "",
            *("partitions" if len(missing) > 1 else "partition", enumerated(missing)),
            "were" if len(missing) > 1 else "was",
        )


@dataclass
class ImageReport(CopyReport):
    """A run of image_sync. ``created``: the image file was not there before."""

    created: bool = False

    @property
    def changed(self) -> bool:
        """See CopyReport. An image that was made counts."""
        return self.created or super().changed

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data: the documented result of image_sync."""
        pairs = [dict(pair.as_dict(), digest=asdict(pair.digest) if pair.digest else None) for pair in self.pairs]
        return dict(super().as_dict(), partitions=pairs, created=self.created)


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
