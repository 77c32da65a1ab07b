# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job stands, at a fixed moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from blksync.cli.status import table
from blksync.jobs.config import Job
from blksync.jobs.history import Run
from blksync.jobs.run_lock import Mark
from blksync.jobs.status import Standing, assess, assess_all
from blksync.jobs.values import JobTarget
from blksync.options import SyncRequest

DAY = 86400
NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _universal_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def job(max_age: int | None = None, name: str = "travel") -> Job:
    return Job(SyncRequest("11111111", "22222222"), name, (JobTarget("22222222"),), max_age=max_age)


def success(age: float) -> Run:
    return Run(NOW - age - 100, NOW - age, 100.0, "22222222", bytes_written=4096)


def failure(age: float) -> Run:
    return Run(NOW - age - 1, NOW - age, 1.0, "22222222", error_kind="engine", error_message="It broke.")


ALIVE, DEAD = Mark(NOW - 30, 17, True), Mark(NOW - 30, 17, False)


@pytest.mark.parametrize(
    ("max_age", "runs", "mark", "state", "stale"),
    [
        (None, [], None, "never", False),
        (DAY, [], None, "never", True),
        (None, [success(9 * DAY)], None, "ok", False),
        (DAY, [success(DAY)], None, "ok", False),
        (DAY, [success(DAY + 1)], None, "stale", True),
        (DAY, [success(10), failure(5)], None, "failed", False),
        (DAY, [success(2 * DAY), failure(5)], None, "stale", True),
        (DAY, [failure(5)], None, "stale", True),
        (None, [failure(5)], None, "failed", False),
        (DAY, [failure(5), success(1)], None, "ok", False),
        (DAY, [success(2 * DAY)], ALIVE, "running", True),
        (DAY, [success(10)], DEAD, "interrupted", False),
        (DAY, [success(-5)], None, "ok", False),
    ],
)
def test_state(max_age: int | None, runs: list[Run], mark: Mark | None, state: str, stale: bool) -> None:
    standing = assess(job(max_age), runs, mark, None, NOW)
    assert (standing.state, standing.stale) == (state, stale)


def test_numbers_are_those_of_the_last_success() -> None:
    standing = assess(job(), [success(50), success(20), failure(5)], None, NOW + 60, NOW)
    assert (standing.last_success, standing.age, standing.duration) == (NOW - 20, 20, 100.0)
    assert (standing.bytes_written, standing.next_run, standing.last_error) == (4096, NOW + 60, "It broke.")
    data = standing.as_dict()
    assert (data["last_success"], data["next_run"]) == ("2023-11-14T22:13:00+00:00", "2023-11-14T22:14:20+00:00")


def test_an_error_before_the_last_success_is_history() -> None:
    assert assess(job(), [failure(50), success(20)], None, None, NOW).last_error is None


def test_jobs_get_what_is_theirs() -> None:
    known = [job(name="a"), job(name="b"), job(name="c")]
    standings = assess_all(known, {"a": [success(1)], "b": [failure(1)]}, {"c": ALIVE}, {"b": NOW}, NOW)
    assert [standing.state for standing in standings] == ["ok", "failed", "running"]
    assert [standing.next_run for standing in standings] == [None, NOW, None]


def test_table() -> None:
    standings: list[Standing] = [
        assess(job(7 * DAY), [success(3 * DAY + 4 * 3600)], None, NOW + DAY, NOW),
        assess(job(DAY, "home"), [success(2 * DAY), failure(5)], None, None, NOW),
        assess(job(name="new"), [], None, None, NOW),
        assess(job(DAY, "first"), [], DEAD, None, NOW),
    ]
    assert "\n".join(table(standings)) == (
        "JOB     STATE        LAST SUCCESS      AGE      TOOK        WRITTEN  NEXT RUN\n"
        "travel  ok           2023-11-11 18:13  3 d 4 h  1 min 40 s  4.0 KiB  2023-11-15 22:13\n"
        "home    stale        2023-11-12 22:13  2 d      1 min 40 s  4.0 KiB  -\n"
        "    stale: the last success is older than 1 d\n"
        "    It broke.\n"
        "new     never        never             -        -           -        -\n"
        "first   interrupted  never             -        -           -        -\n"
        "    stale: it never succeeded\n"
        "    The run that began at 2023-11-14T22:12:50+00:00 did not come to its end."
    )
