# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module command through real Ansible: what it was sent with is what it installs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import oldest_python, run_module
from tests.tooling.paths import COLLECTIONS
from tests.tooling.pythons import find_pythons

pytestmark = pytest.mark.needs("root")
CORE = COLLECTIONS / "ansible_collections" / "blksync" / "backup" / "plugins" / "module_utils" / "blksync"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {"path": str(tmp_path / "command"), "library_dir": str(tmp_path / "blksync")}


def content(directory: str | Path) -> dict[str, bytes]:
    """The files of a directory, whatever their kind."""
    root = Path(directory)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run(options: dict[str, Any], **how: Any) -> dict[str, Any]:
    result = run_module("command", options, **how)
    assert not result["failed"], result
    return result


def test_installed_repaired_and_removed(options: dict[str, Any], tmp_path: Path) -> None:
    assert run(options, check=True)["changed"]
    assert list(tmp_path.iterdir()) == []

    first = run(options)
    assert first["changed"]
    assert content(Path(first["directory"], "blksync")) == content(CORE)
    shown = subprocess.run([options["path"], "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert shown.split() == ["blksync", first["version"]]
    before = content(tmp_path)
    again = run(options, diff=True)
    assert (again["changed"], again["diff"]) == (False, {"before": "", "after": ""})
    assert content(tmp_path) == before

    altered = Path(first["directory"], "blksync", "errors.py")
    altered.write_text("altered\n")
    predicted = run(options, check=True, diff=True)
    assert predicted["changed"]
    assert altered.read_text() == "altered\n"
    for side in ("before", "after"):
        (line,) = predicted["diff"][side].splitlines()
        assert line.startswith(f"{altered}: file 0644 0:0 sha256:")
    repaired = run(options, diff=True)
    assert (repaired["changed"], repaired["diff"]) == (True, predicted["diff"])
    assert content(tmp_path) == before

    absent = {**options, "state": "absent"}
    assert run(absent, check=True)["changed"]
    assert content(tmp_path) == before
    assert run(absent)["changed"]
    assert list(tmp_path.iterdir()) == []
    assert not run(absent)["changed"]


def test_a_wrong_directory_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    result = run_module("command", {**options, "library_dir": str(tmp_path / "lib")})
    assert result["failed"]
    assert result["kind"] == "invalid_request"
    assert "blksync" in result["hint"]


@pytest.mark.parametrize("version", ["the oldest", pytest.param("3.13", marks=pytest.mark.full)])
def test_it_is_installed_by_every_python(options: dict[str, Any], version: str) -> None:
    version = oldest_python() if version == "the oldest" else version
    python = find_pythons().get(version)
    if not python:
        pytest.skip(f"no Python {version} here")
    result = run({**options, "python": python}, interpreter=python)
    assert content(Path(result["directory"], "blksync")) == content(CORE)
    assert subprocess.run([options["path"], "disks"], stdout=subprocess.DEVNULL, check=False).returncode == 0
