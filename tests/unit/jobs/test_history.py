# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history keeps what happened, also over power cuts and for years."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.errors import DeviceReadError, Refusal, RefusedError
from blksync.jobs import history
from blksync.jobs.history import Run
from blksync.records.run import PairRun
from blksync.sync.result import SyncReport
from blksync.system import atomic_file
from blksync.text import cleaned
from tests.support.reports import sync_report

WHEN = 1_700_000_000.0


def report() -> SyncReport:
    """A sync that wrote to one partition."""
    return sync_report({"blocks_changed": 3, "bytes_written": 12288, "complete": True, "notes": ["a note"]})


def success(at: float = WHEN) -> Run:
    return Run(start=at, end=at + 60, duration=60.0, identifier="22222222")


def failure(at: float = WHEN) -> Run:
    return Run(start=at, end=at + 60, duration=60.0, identifier="22222222", error_kind="engine", error_message="no")


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    directory = str(tmp_path / "new")
    runs = [success(), failure(WHEN + 100)]
    for run in runs:
        history.append("travel", run, directory)
    assert history.read("travel", directory) == runs
    assert history.read("home", directory) == []


def test_run_of_a_report() -> None:
    run = history.run_of("22222222", WHEN, WHEN + 5, 5.00049, report(), None)
    assert run.succeeded
    assert (run.ptuuid, run.serial, run.model) == ("22222222", "SERIAL-sdb", "Model sdb")
    assert (run.changed, run.bytes_written) == (True, 12288)
    assert run.partitions == (PairRun(1, 3, 12288, True),)
    assert run.duration == 5.0


def test_run_of_an_error_says_how_far_it_came() -> None:
    error = DeviceReadError("/dev/sda2", 4096, "Input/output error")
    run = history.run_of("22222222", WHEN, WHEN + 5, 5, report(), error)
    assert (run.succeeded, run.error_kind, run.bytes_written) == (False, "read_error", 12288)
    assert "byte 4096" in str(run.error_message)


def test_run_of_an_error_before_anything_began() -> None:
    refused = RefusedError((Refusal("same_disk", "One disk."),))
    run = history.run_of("22222222", WHEN, WHEN + 5, 5, None, refused)
    assert (run.error_kind, run.ptuuid, run.partitions) == ("refused", None, ())


def test_a_torn_last_line_is_left_out_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    history.append("travel", success(), str(tmp_path))
    path = tmp_path / "travel.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole), len(whole) * 2):
        path.write_bytes((whole + whole)[:cut])
        assert len(history.read("travel", str(tmp_path))) == (2 if cut >= len(whole) * 2 - 1 else 1)
    history.append("travel", failure(), str(tmp_path))
    assert history.read("travel", str(tmp_path)) == [success(), success(), failure()]
    path.write_bytes(whole + whole[:40])
    history.append("travel", failure(), str(tmp_path))
    assert history.read("travel", str(tmp_path)) == [success(), failure()]


@pytest.mark.parametrize(
    "line", ["", "{}", "null", "[]", "7", '{"start": 1}', history.to_line(success()).replace("duration", "d")]
)
def test_a_line_that_is_no_run_is_left_out(line: str) -> None:
    assert history.from_line(line) is None


def test_a_run_of_pairs_with_other_fields_is_left_out() -> None:
    line = history.to_line(history.run_of("22222222", WHEN, WHEN, 1, report(), None))
    assert history.from_line(line)
    assert history.from_line(line.replace('"complete"', '"done"')) is None


RUNS = st.builds(
    Run,
    start=st.integers(0, 4_000_000_000).map(float),
    end=st.none() | st.integers(0, 4_000_000_000).map(float),
    duration=st.none() | st.floats(0, 1e6),
    identifier=st.text(),
    serial=st.none() | st.text(),
    bytes_written=st.integers(0, 2**60),
    partitions=st.lists(st.just(PairRun(1, 2, 8192, True))).map(tuple),
    error_message=st.none() | st.text(),
)


@given(RUNS)
def test_any_run_survives_its_line(run: Run) -> None:
    line = history.to_line(run)
    assert "\n" not in line
    texts = cleaned({name: getattr(run, name) for name in ("identifier", "serial", "error_message")})
    assert history.from_line(line) == replace(run, **texts)
    assert json.loads(line)["start"].endswith("+00:00")


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_rotation_never_forgets_the_last_success(outcomes: list[bool]) -> None:
    runs = [success(WHEN + n) if good else failure(WHEN + n) for n, good in enumerate(outcomes)]
    kept = history.parse(history.rotated([history.to_line(run) for run in runs]))
    successes = [run for run in runs if run.succeeded]
    assert [run for run in kept if run.succeeded][-1:] == successes[-1:]
    assert kept[-1] == runs[-1]
    assert len(kept) <= len(runs) // 2 + 2


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LONGEST", 10)
    history.append("travel", success(), str(tmp_path))
    for n in range(40):
        history.append("travel", failure(WHEN + n), str(tmp_path))
    kept = history.read("travel", str(tmp_path))
    assert len(kept) <= 11
    assert kept[0] == success()
    assert kept[-1] == failure(WHEN + 39)
    monkeypatch.setattr(history, "LARGEST", 500)
    history.append("travel", failure(), str(tmp_path))
    assert len(history.read("travel", str(tmp_path))) < len(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["travel.jsonl"]


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_file.replace(str(path), "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
