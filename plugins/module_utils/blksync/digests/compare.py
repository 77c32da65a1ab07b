# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Compares the checksums of the source's blocks with those of the target in a digest, during a pass over a pair."""

from __future__ import annotations

import os
from typing import NamedTuple, Sequence

from ..errors import StorageError
from ..formats.algorithms import Algorithm
from ..formats.digest_file import DigestReader, DigestWriter
from ..ranges import Extent

GAP = 1 << 16  # checksums of blocks that were left out, at a time


class Verdict(NamedTuple):
    """The parts of some extents laid end to end that are ``changed``, and those of which nothing is known."""

    changed: list[Extent]
    unknown: list[Extent]


class DigestComparison:
    """``known`` speaks of what the target holds: blocks are compared with it, and the target is not read. Without it
    both sides are compared. ``fresh`` takes down the source's checksums. Blocks have ``block`` bytes.

    A digest says nothing of a block that no run has looked at (see ``scope``): its checksum is all zeros.
    """

    def __init__(
        self, algorithm: Algorithm, block: int, known: DigestReader | None = None, fresh: DigestWriter | None = None
    ) -> None:
        self.algorithm = algorithm
        self.block = block
        self.known = known
        self.fresh = fresh
        self._next = 0  # the block that the fresh digest has come to
        self._unknown = bytes(algorithm.size)

    def of(self, data: memoryview) -> bytes:
        """The checksums of a window that begins at a block; any thread may ask."""
        return self.algorithm.of_blocks(data, self.block)

    def compare(self, extents: Sequence[Extent], checksums: bytes) -> Verdict:
        """Compare the checksums of the blocks of some extents (offset and length in bytes) with the known ones.

        Raises FileFormatError if the digest cannot be read.
        """
        size = self.algorithm.size
        known = b"".join(self._known(*self._blocks(extent)) for extent in extents)
        verdict = Verdict([], [])
        if known == checksums and self._unknown not in known:
            return verdict
        length = sum(count for _offset, count in extents)
        for index in range(len(checksums) // size):
            was, now = known[index * size : (index + 1) * size], checksums[index * size : (index + 1) * size]
            if was == self._unknown:
                _extend(verdict.unknown, index * self.block, min((index + 1) * self.block, length))
            elif was != now:
                _extend(verdict.changed, index * self.block, min((index + 1) * self.block, length))
        return verdict

    def take_down(self, extents: Sequence[Extent], checksums: bytes) -> None:
        """The source's next checksums, those of the blocks of some extents, in order. Raises StorageError."""
        at = 0
        for extent in extents if self.fresh else ():
            first, count = self._blocks(extent)
            length = count * self.algorithm.size
            self._leave_out(first)
            self._append(checksums[at : at + length])
            at += length
            self._next = first + count

    def end(self) -> None:
        """Nothing more is to be taken down. Raises StorageError."""
        if self.fresh:
            self._leave_out(self.fresh.header.blocks)

    def _leave_out(self, until: int) -> None:
        """What the target holds of the blocks before ``until`` is what it held before, known or not."""
        while self._next < until:
            count = min(GAP, until - self._next)
            self._append(self._known(self._next, count))
            self._next += count

    def _known(self, first: int, count: int) -> bytes:
        return self.known.checksums(first, count) if self.known else self._unknown * count

    def _blocks(self, extent: Extent) -> tuple[int, int]:
        """The first block of a extent, and how many it has."""
        offset, length = extent
        return offset // self.block, -(-length // self.block)

    def _append(self, checksums: bytes) -> None:
        if self.fresh:
            try:
                self.fresh.append(checksums)
            except OSError as error:
                raise StorageError(self.fresh.path, os.strerror(error.errno or 0)) from error


def _extend(extents: list[Extent], start: int, end: int) -> None:
    """Add the bytes from ``start`` to ``end``, to the last extent if that ends there."""
    if extents and sum(extents[-1]) == start:
        extents[-1] = Extent(extents[-1].offset, end - extents[-1].offset)
    else:
        extents.append(Extent(start, end - start))
