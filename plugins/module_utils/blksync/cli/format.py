# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Formats tables and times for people."""

from __future__ import annotations

import time
from typing import Sequence

from ..text import printable


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many cells as lines with aligned columns; a cell is one line, whatever stands in it."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in shown]


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def human_duration(seconds: float) -> str:
    """The two largest units: "3 d 4 h", "12 min 3 s", "0.4 s"."""
    if seconds < 10:
        return "%.1f s" % max(seconds, 0.0)
    rest = int(seconds)
    parts: list[str] = []
    for length, unit in _UNITS:
        count, rest = divmod(rest, length)
        if parts or count:
            parts.append("%d %s" % (count, unit))
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def clock(seconds: float) -> str:
    """Time left as "0:41" or "1:02:03"."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minute, second) if hours else "%d:%02d" % (minute, second)


def local_time(seconds: float) -> str:
    """A moment (seconds since the epoch) in the local time zone: "2026-02-03 04:05"."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
