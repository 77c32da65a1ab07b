# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Records the writes to partitions of a disk that the kernel reports, and notices if a report is missing."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import sys
import threading
import time
from types import TracebackType
from typing import Callable, Iterator, Mapping

from ..discovery.model import Disk, Partition
from ..errors import LiveDoubtError, Reason, described
from ..quiesce.stillness import POLL, SETTLE, Counter, Counts, written_although_quiesced
from ..ranges import Range
from ..system.threads import ThreadGroup
from .dirty_bitmap import DirtyBitmap
from .trace import TraceInstance
from .trace_events import parse_page

SECTOR = 512  # bytes, whatever the disk's own are
WAKE = 0.05  # seconds: the buffers hold the writes of a second and more
_MISREAD = (OSError, ValueError, IndexError, struct.error)


class _Area:
    """A partition whose writes are recorded: its place on the disk in sectors, and what was written since restart()."""

    def __init__(self, partition: Partition, block: int) -> None:
        self.path = partition.path
        self.start = partition.start // SECTOR
        self.end = (partition.start + partition.size) // SECTOR
        self.dirty = DirtyBitmap(partition.size, block)
        self.counter = Counter(partition.devno)
        self.before = Counts()
        self.sectors = 0  # that the trace reported

    def note(self, sector: int, count: int) -> None:
        """A write to ``count`` sectors of the disk from ``sector`` on."""
        first, last = max(sector, self.start), min(sector + count, self.end)
        if first < last:
            self.sectors += last - first
            self.dirty.mark((first - self.start) * SECTOR, (last - self.start) * SECTOR)

    def forget(self) -> None:
        """Begin anew."""
        self.dirty.clear()
        self.sectors = 0

    def doubt(self, now: Counts) -> Reason | None:
        """Why the trace since restart() may not be complete, given the kernel's counters of this moment."""
        if now.past > self.before.past:
            return Reason(
                "written_past_partitions", "something wrote to the disk of %s past its partitions" % self.path
            )
        if self.sectors < self._counted(now):
            return Reason("counts_differ", "the kernel counted more writes than its trace reports")
        if self.is_ahead(now):
            return Reason("counts_differ", "the trace reports more writes than the kernel counted")
        return None

    def is_ahead(self, now: Counts) -> bool:
        """Whether the trace reports writes that the kernel has not counted, as it does when they end."""
        return self.sectors > self._counted(now) and now.past <= self.before.past

    def _counted(self, now: Counts) -> int:
        return (now.written + now.discarded - self.before.written - self.before.discarded) // SECTOR


class DirtyTracker:
    """A context manager that records the writes to partitions of ``disk``, to each from restart() on.

    ``blocks`` has the partitions, each with its block as DirtyBitmap has it. Raises LiveDoubtError if the kernel cannot
    report the writes.
    """

    def __init__(self, disk: Disk, blocks: Mapping[Partition, int]) -> None:
        self._doubt: Reason | None = None
        self._lock = threading.Lock()
        if sys.byteorder != "little":
            raise LiveDoubtError("big_endian", "the trace of a big-endian machine is not understood")
        with _doubting("trace_refused", "the kernel does not let itself be traced"):
            if _read("/sys/dev/block/%s/queue/iostats" % disk.devno).strip() == "0":
                raise LiveDoubtError(
                    "writes_not_counted",
                    "the kernel does not count the writes to %s (queue/iostats is 0)" % disk.path,
                )
            self._areas = {partition.devno: _Area(partition, block) for partition, block in blocks.items()}
            self._trace = TraceInstance(disk.devno)
        self._stop, self._wake = os.pipe()
        self._thread = ThreadGroup(self._wake_up)

    def __enter__(self) -> DirtyTracker:
        self._thread.start([self._listen])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.end()
        os.close(self._wake)
        os.close(self._stop)
        self._trace.close()

    def check(self) -> None:
        """Raise LiveDoubtError if a write may have been missed so far. Cheap."""
        if self._doubt:
            raise LiveDoubtError(self._doubt.code, self._doubt.message)

    def restart(self, partition: Partition) -> None:
        """Forget what was written to the partition so far. It is quiesced: what was on its way is waited for.

        Raises QuiesceError if that does not end, LiveDoubtError.
        """
        area = self._areas[partition.devno]
        area.before = self._at_rest(area, area.forget, first=True)
        self.check()

    def take(self, partition: Partition) -> tuple[Range, ...]:
        """What was written to the partition since restart() or the last take(); it is quiesced.

        Raises QuiesceError where writes to it do not end, LiveDoubtError where something may be missing.
        """
        area = self._areas[partition.devno]
        now = self._at_rest(area, lambda: None)
        with self._lock, _doubting("trace_unreadable", "the trace cannot be read"):
            self._doubt = self._doubt or self._trace.doubt()
            self.check()
            doubt = area.doubt(now)
            if doubt:
                raise LiveDoubtError(doubt.code, doubt.message)
            ranges = area.dirty.ranges()
            area.dirty.clear()
        return ranges

    def put_back(self, partition: Partition, ranges: tuple[Range, ...]) -> None:
        """Return the result of take() that was not copied, so that the next take() gives it again."""
        with self._lock:
            for span in ranges:
                self._areas[partition.devno].dirty.mark(span.offset, span.offset + span.length)

    def _at_rest(self, area: _Area, begin: Callable[[], None], first: bool = False) -> Counts:
        """The kernel's counts at a moment without a write under way to the partition; the trace has reported all.

        ``begin`` is called before each attempt. A traced write has been submitted, not completed: read at once, the
        medium may still hold the old data. A request that waits to be split or sent is not even in flight, but traced.
        """
        deadline = time.monotonic() + SETTLE
        while True:
            with self._lock, _doubting("trace_unreadable", "the trace cannot be read"):
                self._drain()
                begin()
                sectors, counts = area.sectors, None
                if not area.counter.in_flight():
                    counts = area.counter.read(first)
                    self._drain()
                    if area.sectors == sectors and (first or not area.is_ahead(counts)):
                        return counts
            if time.monotonic() > deadline:
                if counts is not None and area.sectors == sectors:
                    return counts  # the trace stays ahead: for the caller to doubt
                raise written_although_quiesced("requests to write to %s do not end" % area.path)
            time.sleep(POLL)

    def _listen(self) -> None:
        """The thread: empty the kernel's buffers before they are full."""
        poll = select.poll()
        poll.register(self._stop)
        try:
            while not poll.poll(WAKE * 1000):
                with self._lock:
                    self._drain()
        except _MISREAD as error:
            self._doubt = Reason("trace_unreadable", "the trace cannot be read: %s" % described(error))

    def _wake_up(self) -> None:
        os.write(self._wake, b".")

    def _drain(self) -> None:
        for fd in self._trace.fds:
            while True:
                try:
                    page = os.read(fd, self._trace.page)
                except BlockingIOError:
                    break
                if not page:
                    break
                self._note(page)

    def _note(self, page: bytes) -> None:
        writes = parse_page(page, self._trace.layout)
        self._doubt = self._doubt or writes.doubt
        for sector, count in writes.spans:
            for area in self._areas.values():
                area.note(sector, count)


@contextlib.contextmanager
def _doubting(code: str, message: str) -> Iterator[None]:
    try:
        yield
    except _MISREAD as error:
        raise LiveDoubtError(code, "%s: %s" % (message, described(error))) from error


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
