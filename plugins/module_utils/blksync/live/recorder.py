# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Keeps what the kernel tells of writes to a partition, so that nothing is overlooked unnoticed."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import sys
import threading
import time
from types import TracebackType
from typing import Iterator

from ..engines.base import Range
from ..engines.threads import ThreadGroup
from ..machine import Disk, Partition
from .dirty_map import DirtyMap
from .events import parse_page
from .instances import TraceInstance
from .rounds import LiveDoubtError

SECTOR = 512  # bytes, whatever the disk's own are
WAKE = 0.05  # seconds: the buffers hold the writes of a second and more
SETTLE = 2.0  # seconds for what was on its way when the source was frozen
SETTLE_POLL = 0.005
_MISREAD = (OSError, ValueError, IndexError, struct.error)


class WriteRecorder:
    """A context manager that records the writes to ``partition`` of ``disk`` from restart() on.

    ``block`` is as DirtyMap has it. Raises LiveDoubtError where the kernel cannot tell them.
    """

    def __init__(self, disk: Disk, partition: Partition, block: int) -> None:
        self._start = partition.start // SECTOR
        self._end = (partition.start + partition.size) // SECTOR
        self._stat = "/sys/dev/block/%s/" % partition.devno
        self._map = DirtyMap(partition.size, block)
        self._sectors = 0  # told by the trace since restart()
        self._before = 0  # what the partition's own counter said then
        self._doubt = ""
        self._lock = threading.Lock()
        if sys.byteorder != "little":
            raise LiveDoubtError("the trace of a big-endian machine is not understood")
        with _doubting("the kernel does not let itself be traced"):
            if _read("/sys/dev/block/%s/queue/iostats" % disk.devno).strip() == "0":
                raise LiveDoubtError("the kernel does not count the writes to %s (queue/iostats is 0)" % disk.path)
            self._trace = TraceInstance(disk.devno, self._end)
        self._stop, self._wake = os.pipe()
        self._thread = ThreadGroup(self._wake_up)

    def __enter__(self) -> WriteRecorder:
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
        """Raise LiveDoubtError where a write may have been missed so far. Cheap."""
        if self._doubt:
            raise LiveDoubtError(self._doubt)

    def restart(self) -> None:
        """Forget what was written so far. The source is frozen: what was on its way is waited for.

        Raises LiveDoubtError where that does not end.
        """
        deadline = time.monotonic() + SETTLE
        while True:
            with self._lock, _doubting("the trace cannot be read"):
                self._drain()
                self._map.clear()
                self._sectors = 0
                if not self._in_flight():
                    self._before = self._written()  # by now it has counted all that was told until the line above
                    self._drain()
                    if not self._sectors:
                        break
            _wait(deadline)
        self.check()

    def take(self) -> tuple[Range, ...]:
        """What was written since restart() or the last take(); the source is frozen, and nothing of it is on its way.

        Raises LiveDoubtError where something may be missing.
        """
        with self._lock, _doubting("the trace cannot be read"):
            # What is told has only begun: read at once, it may be old yet.
            self._settle(time.monotonic() + SETTLE)
            written = self._written() - self._before  # first: the trace knows of a write before it is done
            self._drain()
            self._doubt = self._doubt or self._trace.doubt()
            if self._sectors < written:
                self._doubt = self._doubt or "the kernel counted more writes than its trace tells"
            self.check()
            ranges = self._map.ranges()
            self._map.clear()
        return ranges

    def _listen(self) -> None:
        """The thread: empty the kernel's buffers before they are full."""
        poll = select.poll()
        poll.register(self._stop)
        try:
            while not poll.poll(WAKE * 1000):
                with self._lock:
                    self._drain()
        except _MISREAD as error:
            self._doubt = "the trace cannot be read: %s" % error

    def _wake_up(self) -> None:
        os.write(self._wake, b".")

    def _settle(self, deadline: float) -> None:
        """Wait until the disk has done all it was told to: the kernel discards late, though all writers wait."""
        while self._in_flight():
            self._drain()
            _wait(deadline)

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
            first, last = max(sector, self._start), min(sector + count, self._end)
            if first < last:
                self._sectors += last - first
                self._map.mark((first - self._start) * SECTOR, (last - self._start) * SECTOR)

    def _written(self) -> int:
        """Sectors written to and discarded on the partition since it is there (Documentation/block/stat.rst)."""
        fields = _read(self._stat + "stat").split()
        return int(fields[6]) + (int(fields[13]) if len(fields) > 13 else 0)

    def _in_flight(self) -> int:
        """Writes and discards that have begun and not ended."""
        return int(_read(self._stat + "inflight").split()[1])


def _wait(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise LiveDoubtError("the source is written to though it is frozen")
    time.sleep(SETTLE_POLL)


@contextlib.contextmanager
def _doubting(what: str) -> Iterator[None]:
    try:
        yield
    except _MISREAD as error:
        raise LiveDoubtError("%s: %s" % (what, error)) from error


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
