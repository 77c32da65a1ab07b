# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks: who waits for whom and for how long, and what stands in the way of a lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from blksync.errors import BlksyncError, DeviceBusyError, UntrustedError
from blksync.system import locks
from blksync.system.locks import Patience

DISK = ("8:0", "/dev/sda", "/dev/sda (PTUUID 11111111)")
FIRST = f"process {os.getpid()}, the first"


@pytest.fixture(autouse=True)
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "run"
    monkeypatch.setattr(locks, "RUN_DIR", str(directory))
    monkeypatch.setattr(locks, "POLL", 0.001)
    return directory


def test_without_patience_the_second_is_told_who_the_first_is() -> None:
    with locks.hold(*DISK, "the first"):
        with pytest.raises(DeviceBusyError, match=FIRST), locks.hold(*DISK, "the second"):
            pass
        with locks.hold("8:16", "/dev/sdb", "/dev/sdb", "the second"):
            pass
    with locks.hold(*DISK, "the second"):
        pass


def test_the_second_waits_for_the_first_and_says_so_once() -> None:
    first = locks.hold(*DISK, "the first")
    first.__enter__()
    said: list[str] = []
    polls: list[None] = []

    def check() -> None:
        polls.append(None)
        if len(polls) == 3:
            first.__exit__(None, None, None)

    patience = Patience(3600, said.append, check)
    with locks.hold(*DISK, "the second", patience):
        assert patience.waited
    assert said == [f"/dev/sda (PTUUID 11111111) is in use by another run: {FIRST}."]
    assert len(polls) == 3


def test_the_limit_is_one_for_all_locks() -> None:
    patience = Patience(0.05)
    with locks.hold(*DISK, "the first"):
        for _turn in range(2):
            with pytest.raises(DeviceBusyError, match="waited for 0 s"), locks.hold(*DISK, "the second", patience):
                pass


def test_a_signal_ends_the_waiting() -> None:
    def check() -> None:
        raise BlksyncError("Ended by SIGINT.")

    second = locks.hold(*DISK, "the second", Patience(3600, check=check))
    with locks.hold(*DISK, "the first"), pytest.raises(BlksyncError, match="SIGINT"), second:
        pass


def make_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [Path.touch, make_link])
def test_what_is_no_directory_is_refused(run_dir: Path, make: Callable[[Path], None]) -> None:
    make(run_dir)
    with pytest.raises(UntrustedError, match="not a directory"), locks.hold(*DISK, "the first"):
        pass


def test_a_directory_that_is_open_to_others_is_closed(run_dir: Path) -> None:
    run_dir.mkdir(mode=0o755)
    with locks.hold(*DISK, "the first"):
        assert run_dir.stat().st_mode & 0o777 == 0o700


def make_readable(path: Path) -> None:
    path.touch()
    path.chmod(0o644)


@pytest.mark.parametrize("make", [os.mkfifo, make_readable])
def test_a_lock_that_others_may_have_open_is_refused(run_dir: Path, make: Callable[[Path], None]) -> None:
    run_dir.mkdir(mode=0o700)
    make(run_dir / "disk-8-0.lock")
    with pytest.raises(UntrustedError, match=r"disk-8-0\.lock"), locks.hold(*DISK, "the first"):
        pass


def test_a_link_in_the_place_of_a_lock_is_not_followed(run_dir: Path, tmp_path: Path) -> None:
    run_dir.mkdir(mode=0o700)
    (run_dir / "disk-8-0.lock").symlink_to(tmp_path / "made")
    with pytest.raises(DeviceBusyError), locks.hold(*DISK, "the first"):
        pass
    assert not (tmp_path / "made").exists()


def test_one_image_by_two_names_is_one_lock(tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    os.link(tmp_path / "image", tmp_path / "other")
    first, second = (locks.hold_file(str(tmp_path / name), name) for name in ("image", "other"))
    with first, pytest.raises(DeviceBusyError), second:
        pass
