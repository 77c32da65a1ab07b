# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of things in a job's run: the sync, then the history, and no file while something is not put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from blksync.discovery.model import Machine
from blksync.errors import BlksyncError, CancelledError, DeviceBusyError, EngineError, RestoreError
from blksync.jobs import history, publish, run_lock
from blksync.jobs import run as job_run
from blksync.jobs.config import Job
from blksync.jobs.run import Result
from blksync.jobs.values import JobTarget
from blksync.options import SyncRequest
from blksync.sync import disk_sync
from blksync.sync.monitor import Progress
from blksync.sync.result import SyncReport
from blksync.system import locks
from tests.support.reports import sync_report

SYNC = SyncRequest("11111111", "22222222")
JOB = Job(SYNC, "travel", (JobTarget("22222222"), JobTarget("33333333")))


@pytest.fixture(autouse=True)
def _run_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RUN_DIR", str(tmp_path_factory.mktemp("run")))


def done(interrupted: str = "") -> SyncReport:
    report = sync_report({})
    report.warnings.append("mind the gap")
    report.interrupted = interrupted
    return report


def fake_sync(monkeypatch: pytest.MonkeyPatch, answers: list[BaseException | None], seen: Callable[[], None]) -> list:
    asked = []

    def run(request: Any, progress: Progress, observe: Any) -> SyncReport:
        seen()
        asked.append(request.target)
        answer = answers[len(asked) - 1]
        if answer:
            raise answer
        return done()

    monkeypatch.setattr(disk_sync, "run", run)
    return asked


def carry_out(directory: Path) -> job_run.JobOutcome:
    return job_run.carry_out(JOB, JOB.targets, str(directory), Progress(), lambda: Machine(()))


def kinds(directory: Path) -> list[str | None]:
    return [run.error_kind for run in history.read("travel", str(directory))]


def test_each_target_gets_its_line_after_its_sync(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines: list[int] = []
    marks: list[bool] = []

    def look() -> None:
        lines.append(len(kinds(tmp_path)))
        mark = run_lock.read("travel", str(tmp_path))
        marks.append(bool(mark and mark.alive))

    asked = fake_sync(monkeypatch, [EngineError("no"), None], look)
    outcome = carry_out(tmp_path)
    assert asked == ["22222222", "33333333"]
    assert lines == [0, 1]
    assert marks == [True, True]
    assert kinds(tmp_path) == ["engine", None]
    assert [bool(result.error) for result in outcome.results] == [True, False]
    assert outcome.results[1].warnings == ["mind the gap"]
    assert run_lock.read("travel", str(tmp_path)) is None


def test_a_signal_at_the_very_end_of_a_sync_ends_the_job_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def run(request: Any, _progress: Progress, _observe: Any) -> SyncReport:
        asked.append(request.target)
        return done(interrupted="Ended by SIGTERM.")

    monkeypatch.setattr(disk_sync, "run", run)
    carry_out(tmp_path)
    assert asked == ["22222222"]


def test_nothing_is_written_while_something_is_not_put_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = fake_sync(monkeypatch, [RestoreError("frozen"), None], lambda: None)
    outcome = carry_out(tmp_path)
    assert asked == ["22222222"]
    assert not outcome.settled
    assert outcome.unrecorded
    assert [path.name for path in tmp_path.iterdir()] == ["travel.running"]
    assert run_lock.read("travel", str(tmp_path)) is not None


def test_a_signal_ends_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = fake_sync(monkeypatch, [CancelledError("Ended by SIGINT."), None], lambda: None)
    assert carry_out(tmp_path).settled
    assert asked == ["22222222"]
    assert kinds(tmp_path) == ["cancelled"]


def test_a_killed_run_gets_its_line_from_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed = run_lock.RunningMark("travel", str(tmp_path))
    killed.begin(1000.0)
    killed.release()
    fake_sync(monkeypatch, [None, None], lambda: None)
    carry_out(tmp_path)
    assert kinds(tmp_path) == ["interrupted", None, None]
    first = history.read("travel", str(tmp_path))[0]
    assert (first.start, first.end) == (1000.0, None)


def test_a_bug_leaves_the_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_sync(monkeypatch, [ZeroDivisionError()], lambda: None)
    with pytest.raises(ZeroDivisionError):
        carry_out(tmp_path)
    assert run_lock.read("travel", str(tmp_path)) is not None


def test_a_second_run_of_the_job_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def again() -> None:
        with pytest.raises(DeviceBusyError, match="The job travel is in use by another run"):
            carry_out(tmp_path)

    fake_sync(monkeypatch, [None, None], again)
    assert carry_out(tmp_path).settled


def test_a_sync_does_not_fail_for_want_of_its_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_sync(monkeypatch, [None, None], lambda: None)
    (tmp_path / "travel.jsonl").mkdir()
    outcome = carry_out(tmp_path)
    assert "travel.jsonl" in outcome.unrecorded
    assert not any(result.error for result in outcome.results)


def test_comparing_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    fake_sync(monkeypatch, [None, BlksyncError("x")], lambda: None)
    outcome = job_run.compare(JOB, JOB.targets, Progress(), lambda: Machine(()))
    assert len(outcome.results) == 2
    assert list(tmp_path.iterdir()) == []


def test_metrics_that_cannot_be_written_are_reported(tmp_path: Path) -> None:
    job = Job(SYNC, "travel", JOB.targets, textfile_dir=str(tmp_path / "none"))
    assert "the metrics were not written" in publish.publish(job, [Result("22222222", None)], str(tmp_path))[0]
