# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is: what is shown of it. The file itself is in tests/integration/test_records."""

from __future__ import annotations

import pytest

from blksync.records.progress import State

GIB = 1 << 30


@pytest.mark.parametrize(
    ("done", "size", "seconds", "percent", "left"),
    [
        (0, GIB, 1.0, 0, None),
        (GIB // 4, GIB, 10.0, 25, 30.0),
        (GIB - 1, GIB, 10.0, 99, pytest.approx(0.0, abs=1e-6)),
        (GIB, GIB, 10.0, 100, 0.0),
        (0, 0, 0.0, 100, None),
    ],
)
def test_percent_and_time_left(done: int, size: int, seconds: float, percent: int, left: float | None) -> None:
    state = State("copying", 1, done, size, seconds)
    assert (state.percent, state.seconds_left) == (percent, left)
