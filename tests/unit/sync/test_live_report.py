# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is reported of a source that was frozen several times."""

from __future__ import annotations

from blksync.quiesce.step import StepReport, add_up
from blksync.sync.result import LiveReport


def frozen(device: str, seconds: float, action: str = "frozen") -> StepReport:
    waited = seconds / 2 if action == "frozen" else 0.0
    return StepReport(device, "ext4", ["/mnt"], action, seconds, waited)


def test_the_seconds_of_every_file_system_are_sums() -> None:
    first = [frozen("/dev/sda2", 0.1), frozen("/dev/dm-0", 1.0)]
    both = add_up(first, [frozen("/dev/sda2", 0.02), frozen("/dev/dm-0", 2.0)])
    assert both == [frozen("/dev/sda2", 0.12), frozen("/dev/dm-0", 3.0)]


def test_what_was_done_in_other_ways_has_entries_of_its_own() -> None:
    unmounted = frozen("/dev/sda2", 0.3, action="unmounted")
    assert add_up([frozen("/dev/sda2", 0.1)], [unmounted]) == [frozen("/dev/sda2", 0.1), unmounted]
    assert add_up([], [unmounted]) == [unmounted]
    assert add_up([unmounted], []) == [unmounted]


def test_iterations_are_counted() -> None:
    assert LiveReport(used=True, dirty_bytes=[70, 3, 0]).as_dict() == {
        "used": True,
        "fallback": None,
        "dirty_bytes": [70, 3, 0],
        "iterations": 3,
    }
