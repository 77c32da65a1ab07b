# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads one or two devices at the same time into a bounded ring of buffers, ahead of the thread that uses the data."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

from ..ranges import Extent
from ..system.device import Device, allocate
from ..system.threads import ThreadGroup

SLOTS = 6  # windows in memory at once, for each device: being read, compared and written
DEPTH = 2  # reads in flight for each device: none waits for this process between two requests


class ReadRequest(NamedTuple):
    """One window to read: the bytes of all ``extents``, one after the other. ``position`` is passed through."""

    position: int
    extents: Sequence[Extent]


class Window:
    """What was read for one job: ``buffers`` has as many bytes for each device, in the devices' order."""

    def __init__(self, job: ReadRequest, slot: list[memoryview]) -> None:
        self.position = job.position
        self.extents = job.extents
        self.length = sum(extent.length for extent in job.extents)
        self.slot = slot
        self.buffers = [buffer[: self.length] for buffer in slot]
        self.pending = len(slot)
        self.error: BaseException | None = None
        self.checksums = b""  # of the first device's bytes, where somebody wants them


class ParallelReader:
    """A context manager that yields windows in the order of ``jobs``, each read from every device.

    ``capacity`` is the length in bytes of the longest job. ``checksums`` makes those of a window of the first device,
    in the thread that has read it. ``before`` is called with the length of a job before the devices read it, in the
    iterating thread; it may wait.
    Every window is given back by ``release`` when its buffers may be overwritten (any thread may call it).
    An error of a device is raised in the iterating thread when its window's turn comes: everything before it
    has been yielded. No thread outlives the context.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        jobs: Iterable[ReadRequest],
        capacity: int,
        checksums: Callable[[memoryview], bytes] | None = None,
        before: Callable[[int], None] | None = None,
    ) -> None:
        self._devices = devices
        self._capacity = capacity
        self._checksums = checksums
        self._before = before
        self._jobs = iter(jobs)
        self._next: ReadRequest | None = next(self._jobs, None)
        self._unused = SLOTS  # slots that are still to be allocated: a small pair needs few
        self._free: SimpleQueue[list[memoryview]] = SimpleQueue()
        self._tasks: list[SimpleQueue[Window | None]] = [SimpleQueue() for _device in devices]
        self._done: SimpleQueue[tuple[Window, BaseException | None]] = SimpleQueue()
        self._stop = threading.Event()
        self._threads = ThreadGroup(self._wake)

    def __enter__(self) -> ParallelReader:
        self._threads.start([partial(self._read_windows, index) for index in range(len(self._devices))] * DEPTH)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.end()

    def __iter__(self) -> Iterator[Window]:
        ahead: deque[Window] = deque()
        while True:
            while self._next and self._dispatch(ahead, wait=not ahead):
                pass
            if not ahead:
                return
            window = ahead.popleft()
            while window.pending and not window.error:
                finished, error = self._done.get()
                finished.pending -= 1
                finished.error = finished.error or error
            if window.error:
                raise window.error
            yield window

    def release(self, window: Window) -> None:
        """The window's buffers are free for another."""
        self._free.put(window.slot)

    def _dispatch(self, ahead: deque[Window], wait: bool) -> bool:
        """Hand the next job to the readers; False if no slot is free. ``wait``: wait for one."""
        if self._unused and self._free.empty():
            self._unused -= 1
            slot = [allocate(self._capacity) for _device in self._devices]
        else:
            try:
                slot = self._free.get(block=wait)
            except Empty:
                return False
        if self._next is None:
            raise AssertionError("called with no job left")
        window = Window(self._next, slot)
        if self._before:
            self._before(window.length)
        self._next = next(self._jobs, None)
        ahead.append(window)
        for tasks in self._tasks:
            tasks.put(window)
        return True

    def _read_windows(self, index: int) -> None:
        device, tasks = self._devices[index], self._tasks[index]
        while True:
            window = tasks.get()
            if window is None:
                return
            if self._stop.is_set():
                continue
            try:
                done = 0
                for extent in window.extents:
                    device.read(window.buffers[index][done : done + extent.length], extent.offset)
                    done += extent.length
                if self._checksums and not index:
                    window.checksums = self._checksums(window.buffers[0])
                self._done.put((window, None))
            except BaseException as error:  # noqa: BLE001 - raised again where the window is used
                self._done.put((window, error))
                return

    def _wake(self) -> None:
        self._stop.set()
        for tasks in self._tasks:
            for _reader in range(DEPTH):
                tasks.put(None)
