# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Maps a list of ranges, laid end to end and cut into windows, to the bytes of the devices. Pure.

A position counts through the ranges as if they were contiguous; an offset is a place on the devices. Many
small ranges share a window, and the blocks of all ranges fall on one grid of positions.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Iterator, Sequence

from ..errors import EngineError
from ..ranges import Extent, Range

WINDOW = 1024 * 1024  # bytes that are read, compared and written at a time: larger ones leave the processor's cache


def window_of(block: int, most: int = WINDOW) -> int:
    """The window for blocks of any size: as many as fit into ``most`` bytes, one at least."""
    return block * max(1, most // block)


class Layout:
    """The ranges of a pair of ``size`` bytes, in ascending order; ``length`` is their sum.

    ``window`` is a multiple of ``block``. Raises EngineError for ranges that overlap, leave the pair or are no
    multiples of ``block`` (but for an end that is the end of the pair).
    """

    def __init__(self, ranges: Sequence[Range], size: int, block: int, window: int = WINDOW) -> None:
        self.block = block
        self.window = window
        self.ranges = sorted((span for span in ranges if span.length), key=lambda span: span.offset)
        self._starts: list[int] = []  # the position of every range's first byte
        self.length = 0
        free_from = 0
        for span in self.ranges:
            end = span.offset + span.length
            if span.length < 0 or span.offset < free_from or end > size:
                raise EngineError("The range %r overlaps another or leaves the pair of %d bytes." % (span, size))
            if span.offset % block or (end % block and end != size):
                raise EngineError("The range %r is not a multiple of %d bytes." % (span, block))
            self._starts.append(self.length)
            self.length += span.length
            free_from = end

    def extents(self, position: int, length: int) -> list[Extent]:
        """Where the ``length`` bytes at ``position`` lie, in order."""
        found: list[Extent] = []
        index = bisect_right(self._starts, position) - 1
        while length > 0:
            span, skip = self.ranges[index], position - self._starts[index]
            count = min(length, span.length - skip)
            found.append(Extent(span.offset + skip, count))
            position += count
            length -= count
            index += 1
        return found

    def windows(self) -> Iterator[tuple[int, int]]:
        """(position, length) of every window."""
        for position in range(0, self.length, self.window):
            yield position, min(self.window, self.length - position)
