# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The native engine: reads both devices at the same time with direct I/O, and writes only blocks that differ."""

from __future__ import annotations

from typing import Sequence

from ... import __version__
from ...formats.delta_file import DeltaWriter
from ...ranges import Range, whole
from ...system.device import Device
from ..base import CopyOptions, Engine, Outcome, block_size
from ..monitor import Monitor
from ..range_map import WINDOW, Layout, window_of
from ..write_log import WriteLog
from .copy_pass import CopyPass
from .writer import DeltaSink, Writer


class NativeEngine(Engine):
    """Needs nothing but Python. Reading, comparing and writing go on at the same time, in bounded memory."""

    name = "native"
    version = __version__

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window

    def compare(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, options: CopyOptions
    ) -> Outcome:
        """See Engine."""
        return CopyPass(source, target, self._layout(source, target, ranges, options), monitor, options).run()

    def copy(
        self, source: Device, target: Device, ranges: Sequence[Range], monitor: Monitor, options: CopyOptions
    ) -> Outcome:
        """See Engine."""
        layout = self._layout(source, target, ranges, options)
        log = WriteLog(layout)
        with Writer(target, layout) as writer:
            outcome = CopyPass(source, target, layout, monitor, options).run(
                writer, log, everything=options.verify == "full"
            )
        target.flush()
        outcome.write_log = None if log.empty else log
        return outcome

    def extract(self, source: Device, monitor: Monitor, options: CopyOptions, delta: DeltaWriter | None) -> Outcome:
        """Read the whole source once and write every block that is not the known digest's to ``delta``.

        Raises DeviceReadError, StorageError, and whatever the monitor raises.
        """
        layout = self._layout(source, source, whole(source.size), options)
        sink = DeltaSink(delta, layout.block) if delta else None
        return CopyPass(source, None, layout, monitor, options).run(sink)

    def _layout(self, source: Device, target: Device, ranges: Sequence[Range], options: CopyOptions) -> Layout:
        size, block = min(source.size, target.size), block_size(source, target, least=options.block)
        options.check(block)
        return Layout(ranges, size, block, window_of(block, self._window))
