# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark of a run that has begun: held while it lives, left behind when it is killed."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from blksync.errors import DeviceBusyError
from blksync.jobs import run_lock
from blksync.jobs.run_lock import RunningMark
from blksync.system import locks

CORE = Path(__file__).parents[3] / "plugins" / "module_utils"
BEGIN_AND_WAIT = """
import sys
sys.path.insert(0, sys.argv[1])
from blksync.jobs.run_lock import RunningMark
from blksync.system import locks
locks.RUN_DIR = sys.argv[2] + "/run"
mark = RunningMark("travel", sys.argv[2])
mark.begin(1000.0)
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RUN_DIR", str(tmp_path / "run"))


def test_a_run_that_ends_leaves_no_mark(tmp_path: Path) -> None:
    mark = RunningMark("travel", str(tmp_path))
    assert mark.begin(1000.0) is None
    seen = run_lock.read("travel", str(tmp_path))
    assert seen is not None
    assert (seen.alive, seen.start, seen.pid) == (True, 1000.0, os.getpid())
    mark.end()
    assert run_lock.read("travel", str(tmp_path)) is None
    assert RunningMark("home", str(tmp_path)).begin(1.0) is None


def test_whoever_reads_the_mark_cannot_lock_the_job(tmp_path: Path) -> None:
    """Any process may open a file that everybody may read, and flock(2) it."""
    mark = RunningMark("travel", str(tmp_path))
    mark.begin(1000.0)
    mark.release()
    with open(tmp_path / "travel.running", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        following = RunningMark("travel", str(tmp_path))
        following.begin(2000.0)
    following.end()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").iterdir()} == {0o600}


def test_a_second_run_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    first = RunningMark("travel", str(tmp_path))
    first.begin(1000.0)
    with pytest.raises(DeviceBusyError, match="process %d" % os.getpid()):
        RunningMark("travel", str(tmp_path)).begin(2000.0)
    assert RunningMark("home", str(tmp_path)).begin(2000.0) is None
    first.release()


def test_a_killed_run_shows_until_the_next_begins(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BEGIN_AND_WAIT, str(CORE), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        alive = run_lock.read("travel", str(tmp_path))
        assert alive == run_lock.Mark(1000.0, child.pid, True)
        child.send_signal(signal.SIGKILL)
    dead = run_lock.read("travel", str(tmp_path))
    assert dead == run_lock.Mark(1000.0, child.pid, False)
    following = RunningMark("travel", str(tmp_path))
    assert following.begin(2000.0) == dead
    following.end()


def test_what_cannot_be_understood_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "travel.running").write_bytes(b"\xff{")
    assert run_lock.read("travel", str(tmp_path)) is None
