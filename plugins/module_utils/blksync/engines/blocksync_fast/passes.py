# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The progress and the counts of the two passes over a pair: that of blocksync-fast and that of the native engine."""

from __future__ import annotations

from ...system.device import Device
from ..monitor import Monitor
from .buffer import Geometry
from .output import Summary, parse_progress


class FirstPass:
    """Reports to the monitor how far the program is. A byte of the pair is done when both passes have compared it, so
    the program's pass is the first half. What it writes is known at its end only."""

    def __init__(self, monitor: Monitor, size: int) -> None:
        self._monitor = monitor
        self._size = size
        self.compared = 0  # bytes, by the program alone

    def __call__(self, output: str) -> None:
        """Take in the program's ``output`` so far; raises whatever the monitor raises."""
        self.compared = max(self.compared, int(self._size * parse_progress(output) / 100))
        self._monitor.advanced(self.compared // 2, 0)


class SecondPass(Monitor):
    """Reports to the monitor how far the native pass is, as the second half of the way."""

    def __init__(self, monitor: Monitor, size: int, summary: Summary) -> None:
        self._monitor = monitor
        self._size = size
        self._summary = summary

    def advanced(self, compared: int, changed: int) -> None:
        """Add what the program did to what the native pass did."""
        self._monitor.advanced((self._size + compared) // 2, self._summary.size + changed)

    def source_done(self) -> None:
        """Pass it on: the first pass is over by now."""
        self._monitor.source_done()


class RepairedTarget(Device):
    """The same open target, remembering which blocks of the last window were written: ``last_window``.

    It shares the descriptor and must not be closed.
    """

    def __init__(self, target: Device, geometry: Geometry) -> None:
        super().__init__(target.path, target.fd, target.direct)
        self._geometry = geometry
        self.last_window: list[int] = []

    def write(self, buffer: memoryview, offset: int) -> None:
        """Write as Device does, and remember."""
        super().write(buffer, offset)
        first, end = offset // self._geometry.block, -(-(offset + len(buffer)) // self._geometry.block)
        self.last_window.extend(range(max(first, self._geometry.last_window), end))
