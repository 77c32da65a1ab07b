# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The interface of an engine: it compares a pair, writes the blocks that differ, and reports exactly these writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Collection, Sequence

from ..digests.compare import DigestComparison
from ..errors import EngineError
from ..options.engines import supports
from ..ranges import Range
from ..system.device import Device
from .monitor import Monitor
from .rate_limit import UNLIMITED, RateLimit
from .write_log import WriteLog

BLOCK = 4096  # bytes: what is compared and counted; a larger logical sector takes its place


def block_size(*devices: Device, least: int = BLOCK) -> int:
    """The block in bytes that changes are counted and written in: ``least``, or the largest logical sector."""
    return max([least] + [device.sector for device in devices])


@dataclass(frozen=True)
class CopyOptions:
    """How a pair is compared: in blocks of ``block`` bytes (a larger logical sector takes its place), a power of two.

    ``compare`` False: nothing is compared and everything written. ``checksums`` are of the same blocks; if they are
    known the target is not read, but for blocks of which they say nothing. ``moving``: the source is written to
    meanwhile, and the changed blocks will be copied again. ``verify`` "auto" logs what is written, to verify it later,
    "full" logs every byte of the ranges. ``limit`` is that of reading and writing.
    """

    block: int = BLOCK
    compare: bool = True
    checksums: DigestComparison | None = None
    moving: bool = False
    verify: str = "auto"
    limit: RateLimit = UNLIMITED

    @property
    def reads_target(self) -> bool:
        """Whether both sides are read to find out what differs."""
        return self.compare and not (self.checksums and self.checksums.known)

    def check(self, block: int) -> None:
        """Raise EngineError unless the checksums are of blocks of ``block`` bytes."""
        if self.checksums and self.checksums.block != block:
            raise EngineError("The digest is of blocks of %d bytes." % self.checksums.block)


@dataclass
class Outcome:
    """What an engine did to one pair, exactly.

    ``blocks_*`` count blocks of ``block`` bytes (the last may be short); ``bytes_written`` is what went to the
    target (in a prediction: what would go). ``write_log`` is None if nothing is left to verify.
    ``notes`` are sentences for the user ("repaired 1 block that the program missed").
    """

    block: int
    blocks_total: int
    blocks_changed: int = 0
    bytes_written: int = 0
    bytes_read: int = 0
    write_log: WriteLog | None = None
    notes: list[str] = field(default_factory=list)


class Engine(ABC):
    """Compares and copies pairs. One object serves one run; it keeps nothing between pairs."""

    name = ""
    version = ""

    def supports(self, feature: str) -> bool:
        """Whether the engine has a feature: RANGES or HOLES (see options.engines)."""
        return supports(self.name, feature)

    def algorithms(self) -> Collection[str] | None:
        """The names of the hash algorithms that others who use this engine's files have; None: the same as we."""
        return None

    @abstractmethod
    def compare(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, options: CopyOptions
    ) -> Outcome:
        """Predict: what ``copy`` would write. Both devices are open for reading only."""

    @abstractmethod
    def copy(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, options: CopyOptions
    ) -> Outcome:
        """Make the target's ranges equal to the source's and flush the target.

        The caller has claimed the target, and the source stays quiesced until this has called the monitor's
        ``source_done`` or returns: the source is not read afterwards.

        Raises DeviceReadError, DeviceWriteError, EngineError, and whatever the monitor raises. After any of
        them the target is in an unknown state, and a new run repairs it.
        """
