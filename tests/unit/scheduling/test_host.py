# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of jobs on a host: made, changed, removed, completed after a kill; nothing of others is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import InvalidRequestError
from blksync.jobs import config
from blksync.scheduling import host
from blksync.scheduling.files import Places
from blksync.scheduling.host import JobsRequest, Outcome
from blksync.system import programs

TRAVEL: dict[str, Any] = {"name": "travel", "source": "11111111", "target": "22222222"}
HOME: dict[str, Any] = {"name": "home", "source": "11111111", "target": "33333333"}


@pytest.fixture(autouse=True)
def no_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program of this machine is asked, and files belong to who tests."""
    monkeypatch.setattr(programs, "find", lambda _name: "")
    monkeypatch.setattr(host, "OWNER", os.geteuid())
    monkeypatch.setattr(host, "GROUP", os.getegid())


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("units", "rules", "stamps", "metrics", "other"):
        (tmp_path / name).mkdir()
    return Places(*(str(tmp_path / name) for name in ("jobs", "units", "rules", "stamps")))


def run(places: Places, *jobs: dict[str, Any], **more: Any) -> Outcome:
    return host.run(JobsRequest(jobs=list(jobs), **more), places)


def tree(places: Places) -> dict[str, str]:
    root = Path(places.jobs).parent
    found = {path for path in root.rglob("*") if path.is_symlink() or path.is_file()}
    return {
        str(path.relative_to(root)): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_text()
        for path in found
    }


def test_the_files_of_a_job(places: Places, tmp_path: Path) -> None:
    done = run(places, {**TRAVEL, "schedule": "weekly", "textfile_dir": str(tmp_path / "metrics")})
    assert (done.timers, done.metrics, done.systemd_behind, done.udev_behind) == (("travel",), True, True, True)
    assert set(tree(places)) == {
        "jobs/travel.json",
        "jobs/travel.prom",
        "units/blksync@travel.service.d/50-backup-disk.conf",
        "units/blksync@travel.timer",
        "units/blksync-status.service.d/job-travel.conf",
        "rules/90-blksync.rules",
        "rules/91-blksync-travel.rules",
    }
    assert tree(places)["jobs/travel.prom"] == f"-> {tmp_path}/metrics/blksync_travel.prom"
    assert json.loads(tree(places)["jobs/travel.json"])["targets"] == [{"identifier": "22222222"}]


def test_a_second_run_changes_nothing(places: Places, tmp_path: Path) -> None:
    job = {**TRAVEL, "schedule": "weekly", "textfile_dir": str(tmp_path / "metrics")}
    run(places, job, header="a\nb")
    before = tree(places)
    again = run(places, job, header="a\nb")
    assert (again.changes, again.systemd_behind, again.udev_behind) == ((), False, False)
    assert (again.timers, again.metrics) == (("travel",), True)
    assert tree(places) == before


def test_a_check_predicts_and_writes_nothing(places: Places) -> None:
    predicted = run(places, {**TRAVEL, "schedule": "weekly"}, check=True)
    assert tree(places) == {}
    assert not os.path.exists(places.jobs)
    assert run(places, {**TRAVEL, "schedule": "weekly"}) == predicted
    assert {change.path: change.after for change in predicted.changes} == {
        str(Path(places.jobs).parent / path): text for path, text in tree(places).items()
    }


def test_jobs_of_earlier_runs_stay_unless_the_list_is_exclusive(places: Places) -> None:
    run(places, {**TRAVEL, "schedule": "weekly"})
    run(places, HOME)
    assert host.own_jobs(places) == ("home", "travel")
    apart = tree(places)
    assert {"rules/91-blksync-home.rules", "rules/91-blksync-travel.rules"} <= set(apart)
    done = run(places, HOME, exclusive=True)
    assert (done.removed, done.old_timers, done.timers) == (("travel",), ("travel",), ())
    assert [path for path in tree(places) if "travel" in path] == []
    assert tree(places)["rules/90-blksync.rules"] != apart["rules/90-blksync.rules"]
    assert not run(places, HOME, exclusive=True).changes


def test_nothing_is_left_without_jobs(places: Places, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    run(places, {**TRAVEL, "schedule": "weekly", "textfile_dir": str(metrics)}, HOME)
    (metrics / "blksync_travel.prom").write_text("x 1\n")
    done = run(places, exclusive=True)
    assert (done.removed, done.metrics) == (("home", "travel"), False)
    assert tree(places) == {}
    assert os.listdir(places.units) == []
    assert not run(places, exclusive=True).changes


def test_jobs_and_settings_of_others_are_left_alone(places: Places) -> None:
    run(places, TRAVEL)
    own = Path(places.units, "blksync@travel.service.d", "override.conf")
    own.write_text("[Service]\nNice=5\n")
    Path(places.jobs, "byhand.json").write_text("{")
    Path(places.units, "blksync@byhand.timer").write_text("[Timer]\n")
    Path(places.units, "blksync@../x.service.d").mkdir(parents=True, exist_ok=True)
    run(places, exclusive=True)
    assert set(tree(places)) == {
        "units/blksync@travel.service.d/override.conf",
        "jobs/byhand.json",
        "units/blksync@byhand.timer",
    }


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]"])
def test_a_broken_job_file_is_removed_and_repaired(content: bytes, places: Places) -> None:
    run(places, TRAVEL)
    good = tree(places)
    Path(places.job("travel")).write_bytes(content)
    assert len(run(places, TRAVEL).changes) == 1
    assert tree(places) == good
    Path(places.job("travel")).write_bytes(content)
    run(places, exclusive=True)
    assert tree(places) == {}


@pytest.mark.parametrize("directory", ["other", None])
def test_metrics_move_with_their_directory(directory: str | None, places: Places, tmp_path: Path) -> None:
    run(places, {**TRAVEL, "textfile_dir": str(tmp_path / "metrics")})
    old = tmp_path / "metrics" / "blksync_travel.prom"
    old.write_text("x 1\n")
    done = run(places, {**TRAVEL, "textfile_dir": str(tmp_path / directory) if directory else None})
    assert done.metrics is (directory is not None)
    assert not old.exists()
    assert [path for path in tree(places) if path.endswith(".prom")] == (["jobs/travel.prom"] if directory else [])


def test_a_link_that_leads_elsewhere_removes_nothing(places: Places, tmp_path: Path) -> None:
    run(places, {**TRAVEL, "textfile_dir": str(tmp_path / "metrics")})
    precious = tmp_path / "other" / "precious"
    precious.write_text("x")
    os.unlink(places.metrics("travel"))
    os.symlink(precious, places.metrics("travel"))
    run(places, exclusive=True)
    assert precious.exists()
    assert not os.path.lexists(places.metrics("travel"))


def test_traces_of_a_timer_go_with_it(places: Places) -> None:
    run(places, {**TRAVEL, "schedule": "weekly"})
    for path in places.traces_of_timer("travel"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).touch()
    done = run(places, TRAVEL)
    assert (done.old_timers, done.timers) == (("travel",), ())
    assert [path for path in tree(places) if "timer" in path] == []


def test_a_run_that_was_killed_anywhere_is_completed(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each change that is the last one of a killed run; what came of it belongs to the job, and can be removed."""
    job = {**TRAVEL, "schedule": "weekly", "textfile_dir": str(tmp_path / "metrics")}
    run(places, job)
    complete = tree(places)
    run(places, exclusive=True)
    carry_out = host._carry_out
    for steps in range(1, len(complete) + 1):
        monkeypatch.setattr(host, "_carry_out", lambda changes, where, steps=steps: carry_out(changes[:steps], where))
        run(places, job)
        killed = tree(places)
        assert host.own_jobs(places) == ("travel",)
        monkeypatch.setattr(host, "_carry_out", carry_out)
        run(places, job)
        assert tree(places) == complete
        monkeypatch.setattr(host, "_carry_out", lambda changes, where, steps=steps: carry_out(changes[:steps], where))
        run(places, exclusive=True)
        monkeypatch.setattr(host, "_carry_out", carry_out)
        run(places, exclusive=True)
        assert tree(places) == {}, killed


def test_a_wrong_owner_or_mode_is_a_change(places: Places) -> None:
    run(places, TRAVEL)
    os.chmod(places.job("travel"), 0o666)
    (change,) = run(places, TRAVEL).changes
    assert (change.path, change.before) == (places.job("travel"), change.after)
    assert os.stat(places.job("travel")).st_mode & 0o777 == 0o644


def test_a_directory_that_others_can_change_is_repaired(places: Places) -> None:
    """The command runs no job from there (jobs.config.trust_problems)."""
    run(places, TRAVEL)
    os.chmod(places.jobs, 0o777)
    (change,) = run(places, TRAVEL, check=True).changes
    assert (change.path, os.stat(places.jobs).st_mode & 0o777) == (places.jobs, 0o777)
    assert run(places, TRAVEL).changes == (change,)
    assert os.stat(places.jobs).st_mode & 0o777 == 0o755
    assert not run(places, TRAVEL).changes


def test_the_command_reads_the_job_that_was_checked(places: Places) -> None:
    run(places, {**TRAVEL, "max_age": "10d", "protected": "serial:X", "notify": "yes", "partitions": "1, 3"})
    job = config.load("travel", places.jobs)
    assert (job.max_age, job.notify, job.sync.partitions, job.sync.protected) == (864000, True, (1, 3), ("serial:X",))


def test_wrong_jobs_touch_nothing(places: Places) -> None:
    run(places, HOME)
    before = tree(places)
    with pytest.raises(InvalidRequestError) as caught:
        run(places, TRAVEL, {**HOME, "max_age": "long"}, {"name": "x"}, exclusive=True)
    assert len(caught.value.problems) == 3
    assert tree(places) == before
