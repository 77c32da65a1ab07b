# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.tooling import collection


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one tracked, one new and one ignored file."""
    root = tmp_path / "sources"
    root.mkdir()
    for name, content in ((".gitignore", "litter\n"), ("tracked", "1"), ("new", "2"), ("litter", "3")):
        (root / name).write_text(content)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["git", "add", "tracked"], cwd=root, check=True)
    monkeypatch.setattr(collection, "ROOT", root)
    return root


def names_in(tree: Path) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}


def test_copies_what_git_tracks_or_would_track(sources: Path, tmp_path: Path) -> None:
    collection.copy_sources(tmp_path / "tree")
    assert names_in(tmp_path / "tree") == {".gitignore", "tracked", "new"}


def test_a_second_copy_follows_the_sources(sources: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    collection.copy_sources(tree)
    os.utime(tree / "new", (1, 1))
    (sources / "tracked").write_text("changed")
    (sources / "directory").mkdir()
    (sources / "directory" / "added").write_text("")
    (sources / ".gitignore").unlink()
    (tree / "tests" / "output").mkdir(parents=True)
    (tree / "tests" / "output" / "report").write_text("")
    collection.copy_sources(tree)
    assert names_in(tree) == {"tracked", "new", "litter", "directory/added", "tests/output/report"}
    assert (tree / "tracked").read_text() == "changed"
    assert (tree / "new").stat().st_mtime == 1, "an unchanged file keeps its time stamp"


def test_the_digest_knows_a_renamed_file(sources: Path) -> None:
    before = collection._digest_files()
    (sources / "new").rename(sources / "newer")
    assert collection._digest_files() != before
