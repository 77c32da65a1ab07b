# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One pass over a pair: reads, compares, and hands the blocks that differ to a writer."""

from __future__ import annotations

from typing import Iterator

from ...ranges import Extent
from ...system.device import Device, allocate
from ..base import CopyOptions, Outcome
from ..monitor import Monitor
from ..range_map import Layout
from ..reader import ParallelReader, ReadRequest, Window
from ..write_log import REPORT, WriteLog
from .compare import changed_extents
from .writer import Sink


class CopyPass:
    """One pass over the ranges of a pair; without a target nothing but a digest says what differs."""

    def __init__(
        self, source: Device, target: Device | None, layout: Layout, monitor: Monitor, options: CopyOptions
    ) -> None:
        self._devices = (source, target) if target and options.reads_target else (source,)
        self._target = target
        self._compared = 0  # bytes
        self._looked_at = 0  # bytes of the target that the digest says nothing of
        self._layout, self._monitor = layout, monitor
        self._options, self._checksums, self._limit = options, options.checksums, options.limit
        self._outcome = Outcome(layout.block, -(-layout.length // layout.block))

    def run(self, writer: Sink | None = None, log: WriteLog | None = None, everything: bool = False) -> Outcome:
        """Compare; hand what differs to the writer; record it, or ``everything``, in the log."""
        block, outcome = self._layout.block, self._outcome
        reported = 0
        for device in self._devices:
            if not device.direct:
                device.drop_cache()
        checksums = self._checksums.of if self._checksums else None
        with ParallelReader(self._devices, self._jobs(), self._layout.window, checksums, self._before_read) as reader:
            for window in reader:
                changed = self._changed(window)
                if log and (changed or everything):
                    log.record(
                        window.position, window.buffers[0], [Extent(0, window.length)] if everything else changed
                    )
                if writer and changed:
                    self._limit.before_write(sum(length for _start, length in changed), self._advanced)
                    writer.submit(reader, window, changed)
                else:
                    reader.release(window)
                if writer:
                    writer.check()
                self._compared += window.length
                outcome.blocks_changed += sum(-(-length // block) for _start, length in changed)
                outcome.bytes_written += sum(length for _start, length in changed)
                if self._compared - reported >= REPORT:
                    reported = self._compared
                    self._advanced()
            self._monitor.source_done()
            if writer:
                writer.finish()
        self._conclude(log)
        outcome.bytes_read = len(self._devices) * self._compared + self._looked_at
        self._advanced()
        return outcome

    def _before_read(self, count: int) -> None:
        self._limit.before_read(count, self._advanced)

    def _advanced(self) -> None:
        self._monitor.advanced(self._compared, self._outcome.bytes_written)

    def _conclude(self, log: WriteLog | None) -> None:
        """All has been read and written."""
        if self._checksums:
            self._checksums.end()
        if log:
            log.seal()

    def _changed(self, window: Window) -> list[Extent]:
        """What is to be written of a window, and the checksums taken down."""
        if self._checksums:
            self._checksums.take_down(window.extents, window.checksums)
            if self._checksums.known:
                verdict = self._checksums.compare(window.extents, window.checksums)
                return sorted([*verdict.changed, *self._differing(window, verdict.unknown)])
        if not self._options.compare:
            return [Extent(0, window.length)]
        data, other = window.buffers
        return changed_extents(data, other, self._layout.block)

    def _differing(self, window: Window, unknown: list[Extent]) -> list[Extent]:
        """Those of the extents that the target holds otherwise, by reading it; all if there is none."""
        if self._target is None:
            return unknown
        found: list[Extent] = []
        for start, length in unknown:
            held = allocate(length)
            done = 0
            for extent in self._layout.extents(window.position + start, length):
                self._target.read(held[done : done + extent.length], extent.offset)
                done += extent.length
            self._looked_at += length
            ours = window.buffers[0][start : start + length]
            found += [Extent(start + at, count) for at, count in changed_extents(ours, held, self._layout.block)]
        return found

    def _jobs(self) -> Iterator[ReadRequest]:
        for position, length in self._layout.windows():
            yield ReadRequest(position, self._layout.extents(position, length))
