# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a sync did, as data: the same for a module's result, the command's output and the history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .machine import Disk
from .plan import Pair, Plan


@dataclass
class PairReport:
    """What happened to one pair. Sizes are bytes, ``seconds`` is the time from quiescing to the last proof."""

    pair: Pair
    blocks_total: int = 0
    blocks_changed: int = 0
    block_size: int = 0
    bytes_written: int = 0
    bytes_compared: int = 0
    bytes_verified: int = 0
    verify: str = "auto"
    quiesce: list[dict[str, Any]] = field(default_factory=list)
    digest: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = False

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
            "quiesce": self.quiesce,
            "digest": self.digest,
            "verified": {"mode": self.verify, "bytes_read": self.bytes_verified},
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
            "complete": self.complete,
        }


@dataclass
class SyncReport:
    """What a sync did (in check mode: would do) so far; ``pairs`` grows while it runs."""

    plan: Plan
    engine: str
    engine_version: str
    check: bool
    pairs: list[PairReport] = field(default_factory=list)
    ejected: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True exactly when bytes on the target differ (would differ) from before."""
        return any(pair.blocks_changed for pair in self.pairs)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data: the documented result of disk_sync."""
        return {
            "changed": self.changed,
            "source": _disk(self.plan.source),
            "target": _disk(self.plan.target),
            "engine": {"name": self.engine, "version": self.engine_version},
            "partitions": [pair.as_dict() for pair in self.pairs],
            "bytes_written": sum(pair.bytes_written for pair in self.pairs),
            "ejected": self.ejected,
        }

    def diff(self) -> dict[str, str]:
        """Before and after, one line a pair, for ``--diff``."""
        return {
            "before_header": "%s (before)" % _path(self.plan.target),
            "after_header": "%s (after)" % _path(self.plan.target),
            "before": "".join(_before(pair) for pair in self.pairs),
            "after": "".join(_equal(pair) for pair in self.pairs),
        }


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


def _equal(report: PairReport) -> str:
    return "partition %d: %s is equal to %s\n" % (report.pair.number, report.pair.target.path, report.pair.source.path)


def _before(report: PairReport) -> str:
    if not report.blocks_changed:
        return _equal(report)
    return "partition %d: %s differs from %s in %d of %d blocks (%s)\n" % (
        report.pair.number,
        report.pair.target.path,
        report.pair.source.path,
        report.blocks_changed,
        report.blocks_total,
        human_bytes(report.bytes_written),
    )
