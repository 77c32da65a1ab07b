# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the blocks that differ: to the target, in a thread of its own, or to a delta."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Protocol

from ...errors import StorageError
from ...formats.delta_file import DeltaWriter
from ...ranges import Extent
from ...system.device import Device
from ...system.threads import ThreadGroup
from ..range_map import Layout
from ..reader import ParallelReader, Window


class Sink(Protocol):
    """Takes what differs."""

    def submit(self, reader: ParallelReader, window: Window, extents: list[Extent]) -> None:
        """Take the extents of the window's first buffer, then release it."""

    def check(self) -> None:
        """Raise what an earlier window met."""

    def finish(self) -> None:
        """Wait until everything is taken, or raise."""


class DeltaSink:
    """Writes changed blocks to a delta."""

    def __init__(self, delta: DeltaWriter, block: int) -> None:
        self._delta, self._block = delta, block

    def submit(self, reader: ParallelReader, window: Window, extents: list[Extent]) -> None:
        """See Sink."""
        try:
            for start, length in extents:
                for at in range(start, start + length, self._block):
                    data = window.buffers[0][at : min(at + self._block, start + length)]
                    self._delta.append((window.position + at) // self._block, data)
        except OSError as error:
            raise StorageError(self._delta.path, os.strerror(error.errno or 0)) from error
        reader.release(window)

    def check(self) -> None:
        """See Sink."""

    def finish(self) -> None:
        """See Sink."""


class Writer:
    """Writes changed extents in a thread of its own, so that reading can continue.

    A context manager: leaving it without finish() drops what is not yet written. No thread outlives it.
    """

    def __init__(self, target: Device, layout: Layout) -> None:
        self._target, self._layout = target, layout
        self._tasks: SimpleQueue[tuple[ParallelReader, Window, list[Extent]] | None] = SimpleQueue()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = ThreadGroup(lambda: self._tasks.put(None))

    def __enter__(self) -> Writer:
        self._thread.start([self._write_windows])
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.end()

    def submit(self, reader: ParallelReader, window: Window, extents: list[Extent]) -> None:
        """Write the extents of the window's first buffer, then release it."""
        self._tasks.put((reader, window, extents))

    def check(self) -> None:
        """Raise what an earlier window met (DeviceWriteError)."""
        if self._error:
            raise self._error

    def finish(self) -> None:
        """Wait until everything is written; raises DeviceWriteError."""
        self._thread.end()
        self.check()

    def _write_windows(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            reader, window, extents = task
            try:
                for start, length in extents:
                    self._write(window.buffers[0][start : start + length], window.position + start)
            except BaseException as error:  # noqa: BLE001 - raised again by check
                self._error = error
                self._stop.set()
            reader.release(window)

    def _write(self, data: memoryview, position: int) -> None:
        for extent in self._layout.extents(position, len(data)):
            if self._stop.is_set():
                return
            self._target.write(data[: extent.length], extent.offset)
            data = data[extent.length :]
