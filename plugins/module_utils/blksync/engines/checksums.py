# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Block checksums in a pass over a pair: those that the target is known to have, and those that the source has now."""

from __future__ import annotations

import os

from ..algorithms import Algorithm
from ..digest import DigestReader, DigestWriter
from ..errors import StorageError
from .runs import Run


class Checksums:
    """``known`` speaks of what the target holds: blocks are compared with it, and the target is not read. Without it
    both sides are compared. ``fresh`` takes down the source's checksums. Blocks have ``block`` bytes.
    """

    def __init__(
        self, algorithm: Algorithm, block: int, known: DigestReader | None = None, fresh: DigestWriter | None = None
    ) -> None:
        self.algorithm = algorithm
        self.block = block
        self.known = known
        self.fresh = fresh

    def of(self, data: memoryview) -> bytes:
        """The checksums of a window that begins at a block; any thread may ask."""
        return self.algorithm.of_blocks(data, self.block)

    def changed(self, position: int, length: int, checksums: bytes) -> list[Run]:
        """The runs of bytes, counted from ``position``, whose checksums are not the known ones.

        Raises FileFormatError where the digest cannot be read.
        """
        size = self.algorithm.size
        count = len(checksums) // size
        known = self.known.checksums(position // self.block, count) if self.known else b""
        if known == checksums:
            return []
        runs: list[Run] = []
        for index in range(count):
            at = index * size
            if known[at : at + size] == checksums[at : at + size]:
                continue
            start, end = index * self.block, min((index + 1) * self.block, length)
            if runs and sum(runs[-1]) == start:
                runs[-1] = (runs[-1][0], end - runs[-1][0])
            else:
                runs.append((start, end - start))
        return runs

    def take_down(self, checksums: bytes) -> None:
        """The source's next checksums, in order. Raises StorageError."""
        if self.fresh:
            try:
                self.fresh.append(checksums)
            except OSError as error:
                raise StorageError(self.fresh.path, os.strerror(error.errno or 0)) from error
