# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where programs are looked for (never where somebody else could have put one), and how they run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.discovery.host import System
from blksync.system import programs

NAME = "blocksync-fast"
CORE = Path(str(programs.__file__)).parents[1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, which holds a program; no other directory does."""
    place(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(programs, "DIRECTORIES", ("/usr/bin",))
    yield tmp_path
    assert not (tmp_path / "ran").exists()


def place(directory: Path, name: str = NAME) -> Path:
    """A program that leaves a trace when it runs."""
    path = directory / name
    path.write_text('#!/bin/sh\n: > "%s/ran"\n' % directory)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("search", [None, "", ":", "/usr/bin:", ":/usr/bin", ".", "./", "bin:..", "/usr/bin::/bin"])
def test_the_current_directory_is_never_searched(
    here: Path, monkeypatch: pytest.MonkeyPatch, search: str | None
) -> None:
    if search is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", search)
    assert programs.find(NAME) == ""
    assert System().run(NAME) is None
    assert all(os.path.isabs(entry) for entry in programs.environment()["PATH"].split(":"))


def test_a_directory_that_others_write_to_is_not_searched(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    assert programs.find(NAME) == str(here / NAME)
    for mode in (0o775, 0o757, 0o1777):
        here.chmod(mode)
        assert programs.find(NAME) == ""


@pytest.mark.needs("root")
def test_a_directory_of_somebody_else_is_not_searched(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    os.chown(here, 65534, -1)
    assert programs.find(NAME) == ""


def test_an_entry_of_path_comes_before_the_usual_places(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(here, "sh")
    assert programs.find("sh") == "/usr/bin/sh"
    monkeypatch.setenv("PATH", str(here))
    assert programs.find("sh") == str(here / "sh")
    assert programs.search_path() == "%s:/usr/bin" % here


def test_programs_are_found_without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert os.path.isabs(programs.find("sh"))
    assert System().run("sh", "-c", "echo $LC_ALL") == "C\n"


def test_nothing_else_searches_for_programs() -> None:
    searching = re.compile(r"shutil\.which|\"PATH\"|\bPATH=(?!%s)")  # not what env(1) is told in notify
    found = {path.relative_to(CORE).as_posix() for path in CORE.rglob("*.py") if searching.search(path.read_text())}
    assert found == {"system/programs.py"}


def test_status_and_both_outputs_are_returned() -> None:
    done = programs.run((programs.find("sh"), "-c", "pwd; echo $LC_ALL >&2; cat; exit 3"), 60)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"/\n", b"C\n")


def test_a_descriptor_keeps_its_number() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"passed")
        os.close(writing)
        command = (programs.find("cat"), "/proc/self/fd/%d" % reading)
        assert programs.run(command, 60).returncode == 1
        assert programs.run(command, 60, (reading,)).stdout == b"passed"
    finally:
        os.close(reading)


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"^\S+/sh did not end within 0.5 seconds$"):
        programs.run((programs.find("sh"), "-c", 'echo $$ > "$0"; exec sleep 1000', str(tmp_path / "pid")), 0.5)
    number = (tmp_path / "pid").read_text().strip()
    assert not Path("/proc", number).exists()


def test_a_killed_program_that_stays_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in state D cannot be made here: this one is not killed."""
    monkeypatch.setattr(programs, "KILLED_PATIENCE", 0.01)
    started: list[subprocess.Popen] = []

    def spare(child: subprocess.Popen) -> None:
        started.append(child)

    monkeypatch.setattr(subprocess.Popen, "kill", spare)
    with pytest.raises(TimeoutError):
        programs.run((programs.find("sleep"), "1000"), 0.01)
    (child,) = started
    assert child.poll() is None
    child.terminate()
    child.wait()


def test_nothing_else_starts_programs() -> None:
    starting = re.compile(
        r"\bsubprocess\.(run|Popen|call|check_\w+|get\w+)\(|from subprocess|\bos\.(system|popen|exec|spawn|posix_spawn)"
    )
    found = {path.relative_to(CORE).as_posix() for path in CORE.rglob("*.py") if starting.search(path.read_text())}
    assert found == {"system/programs.py"}
