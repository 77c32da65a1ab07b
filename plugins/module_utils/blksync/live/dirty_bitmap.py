# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The parts of a partition that were written, one bit for each CHUNK. Pure."""

from __future__ import annotations

from ..ranges import Range

CHUNK = 64 * 1024  # bytes: small enough that scattered writes stay cheap to copy, large enough to read quickly
MOST_CHUNKS = 1 << 22  # one byte of memory each; larger partitions have larger chunks


class DirtyBitmap:
    """One mark for each chunk of ``size`` bytes; a chunk is a multiple of ``block`` bytes, a power of two."""

    def __init__(self, size: int, block: int) -> None:
        self.size = size
        self.chunk = max(CHUNK, block)
        while size // self.chunk >= MOST_CHUNKS:
            self.chunk *= 2
        self._marks = bytearray(-(-size // self.chunk))

    def mark(self, start: int, end: int) -> None:
        """The bytes from ``start`` to before ``end`` were written; what lies outside the partition does not count."""
        start, end = max(start, 0), min(end, self.size)
        if start >= end:
            return
        first, last = start // self.chunk, -(-end // self.chunk)
        if last == first + 1:
            self._marks[first] = 1
        else:
            self._marks[first:last] = b"\1" * (last - first)

    def ranges(self) -> tuple[Range, ...]:
        """What is marked, in ascending order."""
        found: list[Range] = []
        first = self._marks.find(1)
        while first >= 0:
            last = self._marks.find(0, first)
            last = len(self._marks) if last < 0 else last
            start = first * self.chunk
            found.append(Range(start, min(last * self.chunk, self.size) - start))
            first = self._marks.find(1, last)
        return tuple(found)

    def clear(self) -> None:
        """Forget all marks."""
        self._marks = bytearray(len(self._marks))
