# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The embedded engine: reads both devices at the same time past the page cache and writes only what differs."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Iterator, Protocol, Sequence

from .. import __version__
from ..delta import DeltaWriter
from ..device import Device, allocate
from ..errors import StorageError
from .base import AS_USUAL, Engine, Method, Monitor, Outcome, Range, block_size, whole
from .evidence import REPORT, BlockEvidence
from .layout import WINDOW, Layout, window_of
from .reader import Job, ParallelReader, Window
from .runs import Run, changed_runs
from .threads import ThreadGroup


class NativeEngine(Engine):
    """Needs nothing but Python. Reading, comparing and writing go on at the same time, in bounded memory."""

    name = "native"
    version = __version__

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window

    def compare(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, method: Method = AS_USUAL
    ) -> Outcome:
        """See Engine."""
        return _Pass(source, target, self._layout(source, target, ranges, method), monitor, method).run()

    def copy(
        self,
        source: Device,
        target: Device,
        ranges: Sequence[Range],
        monitor: Monitor,
        evidence: str = "auto",
        method: Method = AS_USUAL,
    ) -> Outcome:
        """See Engine."""
        layout = self._layout(source, target, ranges, method)
        proof = BlockEvidence(layout)
        with _Writer(target, layout) as writer:
            outcome = _Pass(source, target, layout, monitor, method).run(writer, proof, everything=evidence == "full")
        target.flush()
        outcome.evidence = None if proof.empty else proof
        return outcome

    def extract(self, source: Device, monitor: Monitor, method: Method, delta: DeltaWriter | None) -> Outcome:
        """Read the whole source once and write every block that is not the known digest's to ``delta``.

        Raises DeviceReadError, StorageError, and whatever the monitor raises.
        """
        layout = self._layout(source, source, whole(source.size), method)
        sink = _DeltaSink(delta, layout.block) if delta else None
        return _Pass(source, None, layout, monitor, method).run(sink)

    def _layout(self, source: Device, target: Device, ranges: Sequence[Range], method: Method) -> Layout:
        size, block = min(source.size, target.size), block_size(source, target, least=method.block)
        method.check(block)
        return Layout(ranges, size, block, window_of(block, self._window))


class _Pass:
    """One pass over the ranges of a pair; without a target nothing but a digest says what differs."""

    def __init__(self, source: Device, target: Device | None, layout: Layout, monitor: Monitor, method: Method) -> None:
        self._devices = (source, target) if target and method.reads_target else (source,)
        self._target = target
        self._looked_at = 0  # bytes of the target that the digest says nothing of
        self._layout, self._monitor = layout, monitor
        self._method, self._checksums = method, method.checksums

    def run(self, writer: _Sink | None = None, proof: BlockEvidence | None = None, everything: bool = False) -> Outcome:
        """Compare; hand what differs to the writer; record it, or ``everything``, in the proof."""
        block = self._layout.block
        outcome = Outcome(block, -(-self._layout.length // block))
        compared = reported = 0
        for device in self._devices:
            if not device.direct:
                device.drop_cache()
        checksums = self._checksums.of if self._checksums else None
        with ParallelReader(self._devices, self._jobs(), self._layout.window, checksums) as reader:
            for window in reader:
                runs = self._changed(window)
                if proof and (runs or everything):
                    proof.record(window.position, window.buffers[0], [(0, window.length)] if everything else runs)
                if writer and runs:
                    writer.submit(reader, window, runs)
                else:
                    reader.release(window)
                if writer:
                    writer.check()
                compared += window.length
                outcome.blocks_changed += sum(-(-length // block) for _start, length in runs)
                outcome.bytes_written += sum(length for _start, length in runs)
                if compared - reported >= REPORT:
                    reported = compared
                    self._monitor.advanced(compared, outcome.bytes_written)
            self._monitor.source_done()
            if writer:
                writer.finish()
        self._conclude(proof)
        outcome.bytes_read = len(self._devices) * compared + self._looked_at
        self._monitor.advanced(compared, outcome.bytes_written)
        return outcome

    def _conclude(self, proof: BlockEvidence | None) -> None:
        """All has been read and written."""
        if self._checksums:
            self._checksums.end()
        if proof:
            proof.seal()

    def _changed(self, window: Window) -> list[Run]:
        """What is to be written of a window, and the checksums taken down."""
        if self._checksums:
            self._checksums.take_down(window.pieces, window.checksums)
            if self._checksums.known:
                verdict = self._checksums.compare(window.pieces, window.checksums)
                return sorted([*verdict.changed, *self._differing(window, verdict.unknown)])
        if not self._method.compare:
            return [(0, window.length)]
        data, other = window.buffers
        return changed_runs(data, other, self._layout.block)

    def _differing(self, window: Window, unknown: list[Run]) -> list[Run]:
        """Those of the runs that the target holds otherwise, by reading it; all where there is none."""
        if self._target is None:
            return unknown
        found: list[Run] = []
        for start, length in unknown:
            held = allocate(length)
            done = 0
            for piece in self._layout.pieces(window.position + start, length):
                self._target.read(held[done : done + piece.length], piece.offset)
                done += piece.length
            self._looked_at += length
            ours = window.buffers[0][start : start + length]
            found += [(start + at, count) for at, count in changed_runs(ours, held, self._layout.block)]
        return found

    def _jobs(self) -> Iterator[Job]:
        for position, length in self._layout.windows():
            yield Job(position, self._layout.pieces(position, length))


class _Sink(Protocol):
    """Takes what differs."""

    def submit(self, reader: ParallelReader, window: Window, runs: list[Run]) -> None:
        """Take the runs of the window's first buffer, then release it."""

    def check(self) -> None:
        """Raise what an earlier window met."""

    def finish(self) -> None:
        """Wait until everything is taken, or raise."""


class _DeltaSink:
    """Writes changed blocks to a delta."""

    def __init__(self, delta: DeltaWriter, block: int) -> None:
        self._delta, self._block = delta, block

    def submit(self, reader: ParallelReader, window: Window, runs: list[Run]) -> None:
        """See _Sink."""
        try:
            for start, length in runs:
                for at in range(start, start + length, self._block):
                    data = window.buffers[0][at : min(at + self._block, start + length)]
                    self._delta.append((window.position + at) // self._block, data)
        except OSError as error:
            raise StorageError(self._delta.path, os.strerror(error.errno or 0)) from error
        reader.release(window)

    def check(self) -> None:
        """See _Sink."""

    def finish(self) -> None:
        """See _Sink."""


class _Writer:
    """Writes changed runs in a thread of its own, so that reading goes on meanwhile.

    A context manager: leaving it without finish() drops what is not yet written. No thread outlives it.
    """

    def __init__(self, target: Device, layout: Layout) -> None:
        self._target, self._layout = target, layout
        self._tasks: SimpleQueue[tuple[ParallelReader, Window, list[Run]] | None] = SimpleQueue()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = ThreadGroup(lambda: self._tasks.put(None))

    def __enter__(self) -> _Writer:
        self._thread.start([self._write_windows])
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.end()

    def submit(self, reader: ParallelReader, window: Window, runs: list[Run]) -> None:
        """Write the runs of the window's first buffer, then release it."""
        self._tasks.put((reader, window, runs))

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
            reader, window, runs = task
            try:
                for start, length in runs:
                    self._write(window.buffers[0][start : start + length], window.position + start)
            except BaseException as error:  # noqa: BLE001 - raised again by check
                self._error = error
                self._stop.set()
            reader.release(window)

    def _write(self, data: memoryview, position: int) -> None:
        for piece in self._layout.pieces(position, len(data)):
            if self._stop.is_set():
                return
            self._target.write(data[: piece.length], piece.offset)
            data = data[piece.length :]
