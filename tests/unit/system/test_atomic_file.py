# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing in a directory where somebody else may have put something: nothing hangs, nothing else is written to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from blksync.errors import UntrustedError
from blksync.system import atomic_file


def victim(path: Path) -> Path:
    return path.parent / "victim"


def make_link(path: Path) -> None:
    victim(path).write_text("precious\n")
    path.symlink_to(victim(path))


def make_hard_link(path: Path) -> None:
    victim(path).write_text("precious\n")
    os.link(victim(path), path)


TRAPS = [make_link, make_hard_link, os.mkfifo]
Trap = Callable[[Path], None]


@pytest.mark.parametrize("trap", TRAPS)
def test_a_staged_file_is_always_a_new_one(tmp_path: Path, trap: Trap) -> None:
    trap(tmp_path / ".file.new")
    atomic_file.replace(str(tmp_path / "file"), "new\n")
    assert (tmp_path / "file").read_text() == "new\n"
    assert not (tmp_path / ".file.new").exists()
    assert not victim(tmp_path / "file").exists() or victim(tmp_path / "file").read_text() == "precious\n"


@pytest.mark.parametrize("trap", [make_link, os.mkfifo, os.mkdir])
def test_only_a_regular_file_is_replaced(tmp_path: Path, trap: Trap) -> None:
    trap(tmp_path / "file")
    with pytest.raises(UntrustedError, match="not a regular file"):
        atomic_file.replace(str(tmp_path / "file"), "new\n")
    assert not victim(tmp_path / "file").exists() or victim(tmp_path / "file").read_text() == "precious\n"


@pytest.mark.parametrize("trap", TRAPS)
def test_a_line_is_added_to_our_own_file_only(tmp_path: Path, trap: Trap) -> None:
    trap(tmp_path / "file")
    with pytest.raises((UntrustedError, OSError)):
        atomic_file.append_line(str(tmp_path / "file"), "new")
    assert not victim(tmp_path / "file").exists() or victim(tmp_path / "file").read_text() == "precious\n"


def test_lines_are_added(tmp_path: Path) -> None:
    atomic_file.append_line(str(tmp_path / "file"), "one")
    (tmp_path / "file").write_text("one\ntor")
    atomic_file.append_line(str(tmp_path / "file"), "two")
    assert atomic_file.read(str(tmp_path / "file")) == b"one\ntor\ntwo\n"


def test_a_fifo_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(UntrustedError):
        atomic_file.read(str(tmp_path / "file"))


def test_what_cannot_be_replaced_leaves_no_staged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        atomic_file.replace(str(tmp_path / "file"), "new\n")
    assert list(tmp_path.iterdir()) == []
