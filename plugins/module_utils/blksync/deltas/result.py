# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a run of image_delta did, typed until JSON is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..quiesce.step import StepReport
from .manifest import Manifest


@dataclass(frozen=True)
class DeltaReport:
    """What making or applying the delta at ``path`` did, or would do in check mode.

    ``manifest`` is None if no delta was made. ``created``: the image file was not there before. ``pending``: a delta
    was there already. ``bytes_changed`` were written by this run. ``seconds`` is how long it took.
    """

    path: str
    manifest: Manifest | None
    changed: bool
    blocks_total: int
    blocks_changed: int
    bytes_changed: int
    created: bool = False
    pending: bool = False
    quiesce: list[StepReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data: the documented result of image_delta."""
        return {
            "changed": self.changed,
            "created": self.created,
            "pending": self.pending,
            "blocks_total": self.blocks_total,
            "blocks_changed": self.blocks_changed,
            "bytes_changed": self.bytes_changed,
            "delta": dict(asdict(self.manifest), path=self.path) if self.manifest else None,
            "quiesce": [asdict(step) for step in self.quiesce],
            "seconds": round(self.seconds, 3),
        }
