# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history keeps every line, whoever adds one at the same time, and does not grow for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from blksync.errors import UntrustedError
from blksync.records import history
from blksync.records.run import Run

WRITERS, LINES = 4, 60


def test_line_is_not_lost_while_another_run_drops_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process adds its lines while each of the others replaces the file again and again."""
    monkeypatch.setattr(history, "LONGEST", 8)
    kept = tmp_path / "kept"
    kept.mkdir()
    newer = history.newer

    def newer_and_kept(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        dropped = b"".join(lines[: len(lines) // 2])
        fd = os.open(kept / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, dropped)
        os.close(fd)
        return newer(content)

    monkeypatch.setattr(history, "newer", newer_and_kept)
    children = []
    for writer in range(WRITERS):
        child = os.fork()
        if not child:
            code = 1
            try:
                for line in range(LINES):
                    history.append(Run(float(line), "disk_sync", "%d-%d" % (writer, line)), str(tmp_path))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * WRITERS
    left = [run.identifier for run in history.read(str(tmp_path))]
    for file in kept.iterdir():
        left += [run.identifier for run in history.parse(file.read_text().splitlines())]
    assert sorted(left) == sorted("%d-%d" % (writer, line) for writer in range(WRITERS) for line in range(LINES))


def test_nobody_else_can_hold_the_lock_of_the_history(tmp_path: Path) -> None:
    history.append(Run(1.0, "disk_sync", "x"), str(tmp_path))
    lock = tmp_path / history.LOCK
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    lock.chmod(0o644)
    with pytest.raises(UntrustedError):
        history.append(Run(2.0, "disk_sync", "x"), str(tmp_path))


def test_older_half_goes_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LONGEST", 10)
    for number in range(11):
        history.append(Run(float(number), "disk_sync", str(number)), str(tmp_path))
    assert [run.identifier for run in history.read(str(tmp_path))] == [str(number) for number in range(5, 11)]
