# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The write log of the native engine, by which the target is verified without reading the source again.

Memory is bounded: 16 bytes for each of at most 262144 segments (4 MiB), and one bit for each unit, which are at
most 4 MiB up to a pair of 4 TiB and 1 MiB for every further TiB.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, Callable, Iterator

from ..errors import VerificationError
from ..ranges import Extent
from ..system.device import Device
from .monitor import Monitor
from .range_map import Layout
from .rate_limit import UNLIMITED, RateLimit
from .reader import ParallelReader, ReadRequest

DIGEST = 16  # bytes kept of a segment's hash
MOST_UNITS = 1 << 25
MOST_SEGMENTS = 1 << 18
REPORT = 4 * 1024 * 1024  # bytes between two calls of the monitor


class WriteLog:
    """Which units of the ranges were written, and a hash of their bytes for every segment of the ranges.

    A unit is a block or, of a very large pair, several; a segment is one or several windows.
    """

    def __init__(self, layout: Layout, most_units: int = MOST_UNITS, most_segments: int = MOST_SEGMENTS) -> None:
        self._layout, self._window = layout, layout.window
        self._unit = layout.block
        while layout.length // self._unit > most_units and self._unit * 8 < self._window:
            self._unit *= 2
        self._segment = self._window
        while layout.length // self._segment > most_segments:
            self._segment *= 2
        self._mark_bytes = -(-self._window // self._unit // 8)  # of one window
        windows = -(-layout.length // self._window)
        self._marks = bytearray(windows * self._mark_bytes)
        self._digests = bytearray(-(-layout.length // self._segment) * DIGEST)
        self._hasher = SegmentHasher(self._segment)

    @property
    def empty(self) -> bool:
        """True if nothing was recorded: there is nothing to verify."""
        return not any(self._digests)

    def record(self, position: int, data: memoryview, extents: list[Extent]) -> None:
        """Remember that ``data[start:start + length]`` of every extent is what the target shall hold.

        Called for windows in ascending order, before ``data`` is overwritten.
        """
        mask = 0
        for start, length in extents:
            first, last = start // self._unit, (start + length - 1) // self._unit
            mask |= ((1 << (last - first + 1)) - 1) << first
        at = position // self._window * self._mark_bytes
        self._marks[at : at + self._mark_bytes] = mask.to_bytes(self._mark_bytes, "little")
        for start, length in marked_extents(mask, self._unit, len(data)):
            self._keep(self._hasher.update(position, data[start : start + length]))

    def seal(self) -> None:
        """Everything has been recorded."""
        self._keep(self._hasher.finish())

    def verify(self, target: Device, monitor: Monitor, limit: RateLimit = UNLIMITED) -> int:
        """Re-read the target, which has been flushed, past the page cache. Returns the bytes read.

        Raises VerificationError with the first offset that is wrong, DeviceReadError.
        """
        target.drop_cache()
        hasher = SegmentHasher(self._segment)
        count, reported = 0, 0

        def before(length: int) -> None:
            limit.before_read(length, lambda: monitor.advanced(count, 0))

        with ParallelReader((target,), self._jobs(), self._window, before=before) as reader:
            for window in reader:
                self._check(hasher.update(window.position, window.buffers[0]))
                count += window.length
                reader.release(window)
                if count - reported >= REPORT:
                    reported = count
                    monitor.advanced(count, 0)
        self._check(hasher.finish())
        monitor.advanced(count, 0)
        return count

    def _keep(self, finished: tuple[int, bytes] | None) -> None:
        if finished:
            at = finished[0] * DIGEST
            self._digests[at : at + DIGEST] = finished[1]

    def _check(self, finished: tuple[int, bytes] | None) -> None:
        if not finished:
            return
        segment, digest = finished
        if self._digests[segment * DIGEST : (segment + 1) * DIGEST] != digest:
            raise self._failure(segment)

    def _failure(self, segment: int) -> VerificationError:
        windows = range(segment * self._segment, min((segment + 1) * self._segment, self._layout.length), self._window)
        extents = [extent for position in windows for extent in self._marked(position)]
        return VerificationError(
            "The target does not hold what was written to it: the first wrong byte lies between byte %d and byte %d."
            % (extents[0].offset, extents[-1].offset + extents[-1].length - 1),
            "A disk that does not keep what is written to it is no backup: check its cable and adapter, or replace it.",
        )

    def _marked(self, position: int) -> list[Extent]:
        """The recorded extents of the window at ``position``."""
        at = position // self._window * self._mark_bytes
        mask = int.from_bytes(self._marks[at : at + self._mark_bytes], "little")
        length = min(self._window, self._layout.length - position)
        return [
            extent
            for start, count in marked_extents(mask, self._unit, length)
            for extent in self._layout.extents(position + start, count)
        ]

    def _jobs(self) -> Iterator[ReadRequest]:
        for position, _length in self._layout.windows():
            extents = self._marked(position)
            if extents:
                yield ReadRequest(position, extents)


class SegmentHasher:
    """Hashes data that comes in ascending positions, one hash for every segment that any of it lies in."""

    def __init__(self, segment: int) -> None:
        self._segment = segment
        self._index = -1
        self._hash: Any = None

    def update(self, position: int, data: memoryview) -> tuple[int, bytes] | None:
        """Add data; returns the previous segment's number and digest where a new one begins."""
        index = position // self._segment
        finished = None
        if index != self._index:
            finished = self.finish()
            self._index, self._hash = index, new_hash()
        self._hash.update(data)
        return finished

    def finish(self) -> tuple[int, bytes] | None:
        """The last segment's number and digest, or None if there was no data."""
        if self._hash is None:
            return None
        digest: bytes = self._hash.digest()[:DIGEST]
        self._hash = None
        return self._index, digest


def marked_extents(mask: int, unit: int, length: int) -> list[Extent]:
    """The extents of one bits, bit n standing for the ``unit`` bytes at n * unit, cut off at ``length`` bytes."""
    extents: list[Extent] = []
    at = 0
    while mask:
        zeros = (mask & -mask).bit_length() - 1
        mask >>= zeros
        ones = (~mask & (mask + 1)).bit_length() - 1
        mask >>= ones
        start = (at + zeros) * unit
        extents.append(Extent(start, min(ones * unit, length - start)))
        at += zeros + ones
    return extents


def _fastest(names: tuple[str, ...]) -> Callable[[], Any]:
    """Which hash is the fastest on this processor: SHA-256 is, by a factor of two, where there are instructions
    for it, and BLAKE2b elsewhere, by the same. Either does: no digest leaves the process."""
    sample = bytes(128 * 1024)
    times = {}
    for name in names:
        hashlib.new(name, sample).digest()  # the first use loads libraries
        start = time.perf_counter()
        hashlib.new(name, sample).digest()
        times[name] = time.perf_counter() - start
    best = min(times, key=lambda name: times[name])
    return lambda: hashlib.new(best)


new_hash = _fastest(("sha256", "blake2b"))
