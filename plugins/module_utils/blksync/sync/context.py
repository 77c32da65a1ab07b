# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What all passes over one pair share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from ..digests.compare import DigestComparison
from ..engines.base import Engine, block_size
from ..options import CopyRequest
from ..system.device import Device
from ..system.signals import Cancellation
from .monitor import PassMonitor, Progress, nothing
from .plan import Pair
from .result import PairReport


@dataclass
class PairContext:
    """What all passes over one pair share.

    ``nodes`` are the whole disks that the source and the target lie on, open for reading: their nodes have page caches
    of their own. ``checksums`` are those of a digest, for the first pass. ``prepare`` is called before anything is
    quiesced or written.
    """

    request: CopyRequest
    pair: Pair
    engine: Engine
    source: Device
    target: Device
    entry: PairReport
    progress: Progress
    cancellation: Cancellation
    nodes: Sequence[Device] = ()
    checksums: DigestComparison | None = None
    prepare: Callable[[], None] = nothing

    @property
    def block(self) -> int:
        """The block in bytes that changes are counted and written in."""
        return block_size(self.source, self.target, least=self.request.block_size)

    def monitor(self, phase: str, **calls: Callable[[], None]) -> PassMonitor:
        """The monitor of one pass."""
        return PassMonitor(self.entry, self.progress, self.cancellation, phase, **calls)
