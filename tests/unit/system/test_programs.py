# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where programs are looked for: never where somebody else could have put one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.discovery.host import System
from blksync.system import programs

NAME = "blocksync-fast"


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
    core = Path(str(programs.__file__)).parent
    searching = re.compile(r"shutil\.which|\"PATH\"|\bPATH=(?!%s)")  # not what env(1) is told in notify
    found = {path.relative_to(core).as_posix() for path in core.rglob("*.py") if searching.search(path.read_text())}
    assert found == {"programs.py"}
