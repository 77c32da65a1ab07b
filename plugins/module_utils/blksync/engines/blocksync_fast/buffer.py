# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The buffer sizes of blocksync-fast with which it loses no blocks.


The program reads a buffer of blocks from both sides, remembers a run of blocks that differ, and writes the run when
it meets an equal block or the end of the buffer. Version 1.0.7 has a defect (``blocksync()`` in its
blocksync-fast.c): a run that ends at the second-to-last block, followed by an equal last block, is written too late by
the length of the last block. The run's first block is counted, but its first bytes are never written. This cannot
happen if the last block begins a new buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

# Bytes a device. The program reads the two devices in turn, so a large buffer keeps one of them idle. Comparing two
# equal loop devices of 512 MiB took 0.44 s with 2 MiB, 1.38 s with 16 MiB and 0.89 s with 64 MiB (the least of 7 runs).
MAX_BUFFER = 2 * 1024 * 1024
MIN_BUFFER = 512 * 1024


@dataclass(frozen=True)
class Geometry:
    """``block`` and ``buffer`` are in bytes, ``blocks`` is their number in the pair, of which the last may be short.

    ``safe``: the last block begins a new buffer (or is the only one), so that no run can be lost.
    """

    block: int
    buffer: int
    blocks: int
    safe: bool

    @property
    def last_window(self) -> int:
        """The first block of the buffer in which the last block lies: a lost run begins here or later."""
        return (self.blocks - 1) // (self.buffer // self.block) * (self.buffer // self.block) if self.blocks else 0

    def is_lost_run(self, reported: int, repaired: Sequence[int]) -> bool:
        """Is the one block that was repaired in the last window the first of a lost run?

        ``reported`` is how many blocks the program counted in the whole pair, ``repaired`` the numbers of the blocks
        from ``last_window`` on that still differed after it. A lost run reaches up to the second-to-last block, all
        of it is counted, and its first block alone stays unequal.
        """
        if self.safe or len(repaired) != 1:
            return False
        run = self.blocks - 1 - repaired[0]
        return 0 < run <= reported


def geometry(size: int, block: int, largest: int = MAX_BUFFER) -> Geometry:
    """The largest buffer up to ``largest`` bytes that ends right before the last block of a pair of ``size`` bytes.

    The program wants a buffer of k blocks with k >= 2, so k has to divide the number of blocks before the last. Where
    no such k gives at least MIN_BUFFER (that number is prime, say), the buffer is the largest and ``safe`` False.
    """
    blocks = -(-size // block)
    before = blocks - 1
    most = max(2, largest // block)
    if before <= 0:
        return Geometry(block, most * block, blocks, True)
    for count in range(min(most, before), 1, -1):
        if before % count == 0:
            if count == before or count * block >= MIN_BUFFER:
                return Geometry(block, count * block, blocks, True)
            break
    return Geometry(block, most * block, blocks, False)
