# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which targets of a job are synced after another one failed. The syncs are fakes; tests/integration has real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.model import Machine
from blksync.errors import BlksyncError, CancelledError, EngineError, RestoreError
from blksync.jobs import run as job_run
from blksync.jobs.config import Job
from blksync.jobs.values import JobTarget
from blksync.options import SyncRequest
from blksync.records import history
from blksync.sync import disk_sync
from blksync.sync.bookkeeping import Bookkeeping
from blksync.sync.monitor import Progress
from blksync.sync.result import SyncReport
from tests.support.reports import sync_report

JOB = Job(SyncRequest("11111111", "22222222"), "travel", (JobTarget("22222222"), JobTarget("33333333")))
Answer = BaseException | str


def fake_syncs(monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> list[object]:
    """Syncs that raise, or end well with the text of a signal that came late; returns the targets asked for."""
    asked: list[object] = []

    def run(request: Any, _progress: Progress, _observe: Any, books: Bookkeeping, agree: object) -> SyncReport:
        assert agree is None  # a job does not ask
        assert isinstance(books, Bookkeeping)
        asked.append(request.target)
        answer = answers[len(asked) - 1]
        if isinstance(answer, BaseException):
            raise answer
        report = sync_report({})
        report.warnings.append("mind the gap")
        report.interrupted = answer
        return report

    monkeypatch.setattr(disk_sync, "run", run)
    return asked


def carry_out(directory: Path) -> job_run.JobOutcome:
    return job_run.carry_out(JOB, JOB.targets, Progress(), str(directory), observe=lambda: Machine(()))


def test_an_error_ends_one_target_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = fake_syncs(monkeypatch, EngineError("no"), "")
    outcome = carry_out(tmp_path)
    assert asked == ["22222222", "33333333"]
    assert [bool(result.error) for result in outcome.results] == [True, False]
    assert list(outcome.results[1].warnings) == ["mind the gap"]
    assert outcome.settled


@pytest.mark.parametrize("answer", [CancelledError("Ended by SIGINT."), "Ended by SIGTERM."])
def test_a_signal_ends_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Answer) -> None:
    asked = fake_syncs(monkeypatch, answer, "")
    outcome = carry_out(tmp_path)
    assert outcome.settled
    assert asked == ["22222222"]
    (failed,) = [result for result in outcome.results if result.error]
    assert failed.identifier == ("22222222" if isinstance(answer, CancelledError) else "33333333")
    assert isinstance(failed.error, CancelledError)


def test_what_is_not_put_back_ends_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = fake_syncs(monkeypatch, RestoreError("frozen"), "")
    assert not carry_out(tmp_path).settled
    assert asked == ["22222222"]


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_syncs(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        carry_out(tmp_path)


def test_comparing_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_syncs(monkeypatch, "", BlksyncError("x"))
    outcome = job_run.compare(JOB, JOB.targets, Progress(), str(tmp_path), lambda: Machine(()))
    assert len(outcome.results) == 2
    assert list(tmp_path.iterdir()) == []


def test_verifying_is_in_the_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_syncs(monkeypatch, "", BlksyncError("x"))
    job_run.verify(JOB, JOB.targets, Progress(), str(tmp_path), lambda: Machine(()))
    runs = history.read(str(tmp_path))
    assert [(run.operation, run.job, run.door, run.error_kind) for run in runs] == [
        ("verify", "travel", "command", None),
        ("verify", "travel", "command", "error"),
    ]


@pytest.mark.parametrize("answer", [CancelledError("Ended by SIGINT."), "Ended by SIGTERM."])
def test_a_signal_ends_all_comparisons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Answer) -> None:
    asked = fake_syncs(monkeypatch, answer, "")
    outcome = job_run.verify(JOB, JOB.targets, Progress(), str(tmp_path), lambda: Machine(()))
    assert asked == ["22222222"]
    assert any(isinstance(result.error, CancelledError) for result in outcome.results)


def test_a_failed_run_shows_what_was_noticed_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = EngineError("no")
    error.report = sync_report({})
    error.report.warnings.append("The record was not written.")
    fake_syncs(monkeypatch, error, "")
    assert list(carry_out(tmp_path).results[0].warnings) == ["The record was not written."]
