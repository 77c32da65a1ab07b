# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as Prometheus reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blksync.jobs import metrics
from blksync.jobs.history import Run

SUCCESS = Run(1000, 1060, 60.5, "22222222", bytes_written=4096)
FAILURE = Run(2000, 2010, 10.0, "22222222", bytes_written=1, error_kind="engine", error_message="x")
KILLED = Run(3000, None, None, "", error_kind="interrupted", error_message="x")
SAMPLE = re.compile(r'(\w+)\{job="travel"\} ([0-9.e+]+)')


def values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in SAMPLE.findall(text)}


@pytest.mark.parametrize(
    ("runs", "latest", "expected"),
    [
        ([SUCCESS], 1, (1060, 1, 60.5, 4096)),
        ([SUCCESS, FAILURE], 1, (1060, 0, 10, 1)),
        ([FAILURE, SUCCESS], 2, (1060, 0, 70.5, 4097)),
        ([SUCCESS, KILLED, SUCCESS], 1, (1060, 1, 60.5, 4096)),
        ([SUCCESS, KILLED], 1, (1060, 0, 0, 0)),
        ([FAILURE], 1, (0, 0, 10, 1)),
    ],
)
def test_values(runs: list[Run], latest: int, expected: tuple[float, ...]) -> None:
    assert tuple(values(metrics.render("travel", runs, latest)).values()) == expected


def test_names_and_format() -> None:
    lines = metrics.render("travel", [SUCCESS], 1).splitlines(keepends=True)
    assert all(line.endswith("\n") for line in lines)
    names = [
        "blksync_last_success_timestamp_seconds",
        "blksync_last_run_success",
        "blksync_last_duration_seconds",
        "blksync_last_written_bytes",
    ]
    for index, name in enumerate(names):
        assert lines[3 * index].startswith(f"# HELP {name} ")
        assert lines[3 * index + 1] == f"# TYPE {name} gauge\n"
        assert lines[3 * index + 2].startswith(f'{name}{{job="travel"}} ')


def test_written_in_one_step_and_readable_by_the_exporter(tmp_path: Path) -> None:
    for runs in ([FAILURE], [FAILURE, SUCCESS]):
        metrics.write(str(tmp_path), "travel", runs, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["blksync_travel.prom"]
    assert (tmp_path / "blksync_travel.prom").stat().st_mode & 0o444 == 0o444
    assert values((tmp_path / "blksync_travel.prom").read_text())["blksync_last_run_success"] == 1
