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
from ..ranges import Range
from ..system.device import Device

BLOCK = 4096  # bytes: what is compared and counted; a larger logical sector takes its place


def block_size(*devices: Device, least: int = BLOCK) -> int:
    """The block in bytes that changes are counted and written in: ``least``, or the largest logical sector."""
    return max([least] + [device.sector for device in devices])


@dataclass(frozen=True)
class CopyOptions:
    """How a pair is compared: in blocks of ``block`` bytes (a larger logical sector takes its place), a power of two.

    ``compare`` False: nothing is compared and everything written. ``checksums`` are of the same blocks; where they are
    known the target is not read, but for blocks of which they say nothing. ``moving``: the source is written to
    meanwhile, and what that changes will be copied again.
    """

    block: int = BLOCK
    compare: bool = True
    checksums: DigestComparison | None = None
    moving: bool = False

    @property
    def reads_target(self) -> bool:
        """Whether both sides are read to find out what differs."""
        return self.compare and not (self.checksums and self.checksums.known)

    def check(self, block: int) -> None:
        """Raise EngineError unless the checksums are of blocks of ``block`` bytes."""
        if self.checksums and self.checksums.block != block:
            raise EngineError("The digest is of blocks of %d bytes." % self.checksums.block)


AS_USUAL = CopyOptions()


class Monitor:
    """Gets the progress of a copy, and may end the copy. This one does nothing with it.

    Engines call ``advanced`` after every few megabytes. It may raise CancelledError (a signal, a lost
    connection) or QuiesceError (the guardian is gone, the time is over): the engine stops and lets it pass.
    """

    def advanced(self, compared: int, changed: int) -> None:
        """``compared`` bytes of the pair are done so far, ``changed`` of them differed."""

    def source_done(self) -> None:
        """The source has been read for the last time; what is left is writing and flushing the target."""


class Evidence(ABC):
    """What is needed to prove later, from the target alone, that it holds what the source held."""

    @abstractmethod
    def verify(self, target: Device, monitor: Monitor) -> int:
        """Re-read the target and compare. Returns the bytes read; raises VerificationError naming the first offset
        that is wrong, DeviceReadError where it cannot be read."""


@dataclass
class Outcome:
    """What an engine did to one pair, exactly.

    ``blocks_*`` count blocks of ``block`` bytes (the last may be short); ``bytes_written`` is what went to the
    target (in a prediction: what would go). ``evidence`` is None if the engine has nothing left to prove.
    ``notes`` are sentences for the user ("repaired 1 block that the program missed").
    """

    block: int
    blocks_total: int
    blocks_changed: int = 0
    bytes_written: int = 0
    bytes_read: int = 0
    evidence: Evidence | None = None
    notes: list[str] = field(default_factory=list)


class Engine(ABC):
    """Compares and copies pairs. One object serves one run; it keeps nothing between pairs."""

    name = ""
    version = ""
    whole_pair_only = False  # True: takes the whole pair as its one range and nothing else

    def algorithms(self) -> Collection[str] | None:
        """The names of the hash algorithms that others who use this engine's files have; None: the same as we."""
        return None

    @abstractmethod
    def compare(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, method: CopyOptions = AS_USUAL
    ) -> Outcome:
        """Predict: what ``copy`` would write. Both devices are open for reading only."""

    @abstractmethod
    def copy(
        self,
        source: Device,
        target: Device,
        ranges: Sequence[Range],
        monitor: Monitor,
        evidence: str = "auto",
        method: CopyOptions = AS_USUAL,
    ) -> Outcome:
        """Make the target's ranges equal to the source's and flush the target.

        The caller has claimed the target, and the source holds still until this has called the monitor's
        ``source_done`` or returns: the source is not read afterwards. ``evidence`` "auto" is as much as is needed
        to prove what was written, "full" covers every byte of the ranges.

        Raises DeviceReadError, DeviceWriteError, EngineError, and whatever the monitor raises. After any of
        them the target is in an unknown state, and a new run repairs it.
        """
