# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run writes of a disk, and what, while another run may write of the same one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from blksync.discovery.model import Disk
from blksync.errors import Refusal, RefusedError, RestoreError
from blksync.records import history, store
from blksync.records.disk_record import CHANGED_ELSEWHERE, COMPLETE, INCOMPLETE, DiskRecord, key_of
from blksync.records.run import Origin, Run
from blksync.sync import foreign_changes
from blksync.sync.bookkeeping import Achieved, Bookkeeping
from blksync.system import locks

DISK = Disk("sdb", "/dev/sdb", "8:16", 1 << 30, ptuuid="22222222")
KEY = key_of(DISK)
REFUSAL = Refusal(foreign_changes.CODE, "Somebody changed the backup disk.")


@contextlib.contextmanager
def unlocked(*_ignored: object) -> Iterator[None]:
    yield


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskRecord:
    assert KEY
    monkeypatch.setattr(locks, "hold", unlocked)
    record = DiskRecord(KEY, state=COMPLETE, before=COMPLETE, last_success=Run(1.0, "disk_sync", "x", end=2.0))
    store.save(record, str(tmp_path))
    return record


def looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: Callable[[], object]) -> Bookkeeping:
    """Books of a run that sees a change, and ``during`` the look something else happens."""

    def examine(*_ignored: object) -> list[Refusal]:
        during()
        return [REFUSAL]

    monkeypatch.setattr(foreign_changes, "examine", examine)
    return Bookkeeping(Origin(), "disk_sync", "x", str(tmp_path))


def state(tmp_path: Path) -> str:
    (record,) = store.load_all(str(tmp_path)).records
    return record.state


def test_what_another_run_writes_meanwhile_is_no_foreign_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complete: DiskRecord
) -> None:
    at_work = replace(complete, state=INCOMPLETE)
    books = looked(tmp_path, monkeypatch, lambda: store.save(at_work, str(tmp_path)))
    assert books.foreign_changes(DISK, ()) == ()


@pytest.mark.parametrize("later", [True, False])
def test_foreign_change_is_written_down_unless_a_run_ended_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complete: DiskRecord, later: bool
) -> None:
    books = looked(tmp_path, monkeypatch, lambda: None)
    refusals = books.foreign_changes(DISK, ())
    assert refusals == (REFUSAL,)
    if later:
        store.save(replace(complete, last_success=Run(3.0, "disk_sync", "x", end=4.0)), str(tmp_path))
    assert not books.end((DISK,), Achieved(), RefusedError(refusals))
    assert state(tmp_path) == (COMPLETE if later else CHANGED_ELSEWHERE)


def test_metrics_of_the_beginning_find_the_record_incomplete(tmp_path: Path) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.extend(record.state for record in store.load_all(str(tmp_path)).records)

    Bookkeeping(Origin("command", "travel"), "disk_sync", "22222222", str(tmp_path), look).begin([DISK])
    assert seen == [INCOMPLETE]


def test_nothing_is_written_while_something_is_not_put_back(tmp_path: Path) -> None:
    books = Bookkeeping(Origin(), "disk_sync", "22222222", str(tmp_path))
    books.begin([DISK])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    assert books.end([DISK], Achieved(), RestoreError("/ is frozen.")) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before
    assert history.read(str(tmp_path)) == []
