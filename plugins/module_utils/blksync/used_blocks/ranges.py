# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Computes the ranges that are copied from the free extents. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Sequence

from ..errors import Reason
from ..ranges import Range, whole

GAP = 64 * 1024  # bytes: to read across less free space costs less than to skip it
# Where signatures lie that are not the file system's own (libblkid/src/superblocks of util-linux): LVM, LUKS, bcache,
# mdraid 1.1 and 1.2, VMFS and the first two labels of ZFS in the first MiB; at the end mdraid 0.90 and 1.0, the other
# labels of ZFS, the RAIDs of firmware (at most 3087 sectors before the end), DRBD and a second GPT.
EDGE = 4 * 1024 * 1024  # bytes
# The mirrors of a superblock of btrfs (fs/btrfs/disk-io.h), from which its tools restore the first one.
MIRRORS = (64 * 1024 * 1024, 256 * 1024 * 1024 * 1024)
MIRROR = 4096  # bytes
MOST_RANGES = 1 << 18  # they take some 170 bytes each, and a moment while the file system is frozen


@dataclass(frozen=True)
class UsedBlocks:
    """What is to be copied of a partition.

    ``ranges`` ascend and are multiples of the block, but for the end of the pair. ``skipped`` are the bytes of the
    partition in none of them. ``reason`` says why the whole partition is copied; it is None if the file system's own
    map was used.
    """

    ranges: tuple[Range, ...]
    skipped: int = 0
    reason: Reason | None = None


def everything(size: int, reason: Reason) -> UsedBlocks:
    """All of a partition of ``size`` bytes, because of ``reason``."""
    return UsedBlocks(whole(size), reason=reason)


def used_blocks(free: Sequence[int], shift: int, size: int, block: int, gap: int = GAP) -> UsedBlocks:
    """All of a partition of ``size`` bytes but its free extents: start, end, start, end … in bytes, ascending.

    ``shift`` is where on the partition their byte 0 lies. The edges count as used, see EDGE. What is used is widened
    to blocks of ``block`` bytes, a power of two; ranges with less than ``gap`` bytes between them are joined, or a
    multiple of it where there would be more than MOST_RANGES.
    """
    found: list[Range] = []
    done = skipped = 0
    for first, last in _within_edges(free, shift, size):
        begin, end = -(-first // block) * block, last // block * block
        if end - begin < gap:
            continue
        if len(found) == MOST_RANGES - 1:  # this one, and what follows the gap
            return used_blocks(free, shift, size, block, gap * 2)
        if begin > done:
            found.append(Range(done, begin - done))
        skipped += end - begin
        done = end
    if done < size:
        found.append(Range(done, size - done))
    return UsedBlocks(tuple(found), skipped)


def _within_edges(free: Sequence[int], shift: int, size: int) -> Iterator[tuple[int, int]]:
    """The free extents by their place on the partition, without what is copied whatever the file system says."""
    least, most = shift + EDGE, size - EDGE
    mirrors = [shift + offset for offset in MIRRORS]
    for index in range(0, len(free), 2):
        begin, end = max(free[index] + shift, least), min(free[index + 1] + shift, most)
        for mirror in mirrors:
            if begin < mirror + MIRROR and mirror < end:
                yield begin, mirror
                begin = mirror + MIRROR
        yield begin, end
