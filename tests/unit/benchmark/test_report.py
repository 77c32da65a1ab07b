# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's page: ratios within a round, medians over the rounds, and what could not be measured."""

from __future__ import annotations

import dataclasses

import pytest

from tests.benchmark import report
from tests.benchmark.contenders import DD_COPY, DEFAULTS, NATIVE, READ, SCRIPT
from tests.benchmark.measure import Measurement
from tests.benchmark.playbook import Overhead
from tests.benchmark.report import MIB, Section, document

LIMIT = 400 * 10**6


def taking(seconds: float, equal: bool = True) -> Measurement:
    return Measurement(seconds, seconds / 10, 30 * MIB, 5 * MIB, equal)


def rounds(native: list[float], read: list[float]) -> Section:
    section = Section(LIMIT, 512 * MIB)
    section.rounds = [
        {("", READ): taking(second), ("nothing", NATIVE): taking(first)}
        for first, second in zip(native, read, strict=True)
    ]
    return section


def test_a_ratio_is_taken_within_a_round() -> None:
    section = rounds(native=[2.0, 30.0, 4.0], read=[2.0, 10.0, 2.0])
    assert section.ratio("nothing", NATIVE, "", READ) == 2.0  # the median of 1, 3 and 2
    assert section.ratio("nothing", SCRIPT, "", READ) is None


def test_the_page_shows_targets_medians_and_the_playbook() -> None:
    page = document([rounds([2.2, 2.0, 2.1], [2.0, 2.0, 2.0])], None, [Overhead(1.0, 1.5, 0.1)], repeat=3, load=0.5)
    assert "| at most 1.05 x the time of reading one device, at 400 MB/s a device | 1.05 |" in page
    assert "| below 64 MiB of memory, in any run | 30 MiB |" in page
    assert "| nothing | engine `native` | 2.10 | 0.21 | 1.05 | 30 | 5.0 |" in page
    assert "| of which everything else of `disk_sync` | 0.40 |" in page


def test_a_target_left_different_is_shown() -> None:
    section = Section(
        0, MIB, [{("", READ): taking(1), ("", DD_COPY): taking(1), ("nothing", SCRIPT): taking(1, False)}]
    )
    assert f"{SCRIPT.name} (**target left different**)" in document([section], None, [], repeat=1, load=0.5)


def test_what_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = dataclasses.replace(DEFAULTS, missing="not installed")
    monkeypatch.setattr(report, "COMPARING", (NATIVE, missing))
    limited = Section(LIMIT, MIB, note="Not available: no controller.")
    page = document([rounds([1.0], [1.0]), limited], None, [], repeat=1, load=0.5)
    assert f"| nothing | {DEFAULTS.name} | not installed | | | | |" in page
    assert "Not available: no controller." in page
