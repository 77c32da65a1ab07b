# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What all passes over one pair share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from ..digests.compare import DigestComparison
from ..engines.base import CopyOptions, Engine, block_size
from ..engines.rate_limit import UNLIMITED, RateLimit
from ..options import CopyRequest
from ..quiesce.client import Quiesced
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
    quiesced or written. ``limit`` is one for all pairs of a run.
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
    limit: RateLimit = UNLIMITED

    @property
    def block(self) -> int:
        """The block in bytes that changes are counted and written in."""
        return block_size(self.source, self.target, least=self.request.block_size)

    def monitor(self, phase: str, **calls: Callable[[], None]) -> PassMonitor:
        """The monitor of one pass."""
        return PassMonitor(self.entry, self.progress, self.cancellation, phase, **calls)

    def options(self, first: bool = True, moving: bool = False, held: Quiesced | None = None) -> CopyOptions:
        """How one pass copies. A later pass compares both sides in any case. ``held`` is what is quiesced during it."""
        request = self.request
        return CopyOptions(
            request.block_size,
            request.compare or not first,
            self.checksums if first else None,
            moving,
            request.verify,
            self.limit_while(held),
        )

    def limit_while(self, held: Quiesced | None) -> RateLimit:
        """The limit while ``held`` is quiesced: none if the copy was to be live, as it would make programs wait longer.

        With ``quiesce: freeze`` the user wants the whole copy made while they wait.
        """
        return UNLIMITED if self.request.live and held and held.waiting else self.limit
