# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of disks, as people read it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from blksync.cli.status import table
from blksync.records.progress import State
from blksync.report.standing import DiskStanding, JobStanding

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _universal_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


TORN = DiskStanding(
    "travel",
    "33333333",
    "incomplete",
    serial="S6XNNS0T",
    last_success=NOW - 90000,
    age=90000.0,
    last_error="Cannot write /dev/sdc2 at byte 4096: Input/output error.",
    next_step="The last run did not finish the copy, which is no backup now: plug the disk in and run ...",
)
GOOD = DiskStanding("travel", "22222222", "complete", last_success=NOW - 60, age=60.0, verified=NOW - 60)


def test_two_rotated_disks_with_one_torn() -> None:
    job = JobStanding("travel", "any", None, NOW + 3600, (TORN, GOOD))
    assert table([job]) == [
        "JOB     DISK                 STATE       LAST SUCCESS      AGE      VERIFIED          NEXT RUN",
        "travel  33333333 (S6XNNS0T)  incomplete  2023-11-13 21:13  1 d 1 h  never             2023-11-14 23:13",
        "    The last run did not finish the copy, which is no backup now: plug the disk in and run ...",
        "    The last run failed: Cannot write /dev/sdc2 at byte 4096: Input/output error.",
        "travel  22222222             complete    2023-11-14 22:12  1 min    2023-11-14 22:12  2023-11-14 23:13",
    ]


def test_jobs_that_need_somebody_come_first() -> None:
    good = JobStanding("archive", "any", None, None, (GOOD,))
    bad = JobStanding("travel", "all", None, None, (TORN,))
    lines = table([good, bad])
    assert [line.split()[1] for line in lines if not line.startswith("    ")] == ["DISK", "33333333", "22222222"]


def test_age_of_a_success_in_the_future_is_not_shown() -> None:
    future = DiskStanding("travel", "22222222", "complete", last_success=NOW, age=0.0, stale=True, in_future=True)
    assert table([], [future])[1].split()[2:6] == ["stale", "2023-11-14", "22:13", "?"]


def test_running_copy_says_how_far_it_is() -> None:
    running = DiskStanding("travel", "22222222", "running", progress=State("copying", 2, 430, 1000, 86.0))
    assert table([], [running])[2] == "    Copying partition 2: 43 % of all is copied, 1 min 54 s left."
    assert running.as_dict()["progress"] == {
        "phase": "copying",
        "partition": 2,
        "done": 430,
        "size": 1000,
        "seconds": 86.0,
        "percent": 43,
        "seconds_left": 114.0,
    }


def test_what_is_not_on_the_disk_is_said() -> None:
    partial = DiskStanding("", "22222222", "complete", left_out=("3 (/home, 20.0 GiB)",))
    assert table([], [partial])[2] == "    Not on the disk: partition 3 (/home, 20.0 GiB)."
