# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command on a host: what is installed, repaired and removed, and what a kill at any moment leaves behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import InvalidRequestError
from blksync.install import command, tree
from blksync.install.command import InstallRequest

OLD = {
    "blksync/__init__.py": b"",
    "blksync/cli.py": b"from . import gone\ndef main():\n    print('old', gone)\n",
    "blksync/gone.py": b"",
}
NEW = {
    "blksync/__init__.py": b"",
    "blksync/cli.py": b"from .part import main\n",
    "blksync/part/__init__.py": b"def main():\n    print('new')\n",
}
STEPS = ("mkdir", "chown", "chmod", "replace", "unlink", "rmdir")


class Killed(BaseException):
    """Ends an installation as a kill would: nothing after it is done."""


@pytest.fixture(autouse=True)
def owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user who tests instead of root."""
    monkeypatch.setattr(tree, "OWNER", os.getuid())
    monkeypatch.setattr(tree, "GROUP", os.getgid())


def request_in(place: Path) -> InstallRequest:
    """A command of its own in a directory."""
    return InstallRequest(path=str(place / "command"), library_dir=str(place / "blksync"), python=sys.executable)


@pytest.fixture
def request_(tmp_path: Path) -> InstallRequest:
    return request_in(tmp_path)


def snapshot(request: InstallRequest) -> dict[str, str]:
    """The state of the launcher and of the library."""
    state = {tree.join(request.library_dir, path): line for path, line in tree.observe(request.library_dir).items()}
    line = tree.observe_entry(request.path)
    return {**state, request.path: line} if line else state


def said(request: InstallRequest) -> str:
    run = subprocess.run([request.path], stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.split()[0]


def install(request: InstallRequest, files: dict[str, bytes]) -> list[str]:
    """Install, compare with what check mode and the diff say, and return the paths that changed."""
    before = snapshot(request)
    predicted = command.run(replace(request, check=True), files, "1.0")
    assert snapshot(request) == before
    done = command.run(request, files, "1.0")
    assert done == predicted
    after = snapshot(request)
    assert {each.path: (each.before, each.after) for each in done.differences} == {
        path: (before.get(path, ""), after.get(path, ""))
        for path in {*before, *after}
        if before.get(path) != after.get(path)
    }
    return [each.path for each in done.differences]


def test_a_first_installation_runs(request_: InstallRequest) -> None:
    assert install(request_, OLD)
    assert said(request_) == "old"
    assert stat.S_IMODE(os.stat(request_.path).st_mode) == 0o755
    modes = {path: line.split()[:2] for path, line in snapshot(request_).items() if path != request_.path}
    assert {" ".join(line) for line in modes.values()} == {"directory 0755", "file 0644"}


def test_a_second_run_changes_nothing(request_: InstallRequest) -> None:
    install(request_, OLD)
    assert install(request_, OLD) == []


def test_a_new_version_leaves_nothing_of_the_old_one(request_: InstallRequest) -> None:
    install(request_, OLD)
    install(request_, NEW)
    assert said(request_) == "new"
    assert os.listdir(request_.library_dir) == [command.directory_name(NEW, "1.0")]
    assert install(request_, NEW) == []


def damage(path: Path, how: str) -> None:
    if how == "content":
        path.write_bytes(b"print('evil')\n")
    elif how == "mode":
        path.chmod(0o666)
    elif how == "missing":
        path.unlink()
    elif how == "link":
        path.rename(path.with_suffix(".real"))
        path.symlink_to(path.with_suffix(".real"))
    else:
        path.unlink()
        path.mkdir()
        (path / "inside").touch()


@pytest.mark.parametrize("how", ["content", "mode", "missing", "link", "directory"])
def test_a_damaged_file_is_repaired(request_: InstallRequest, how: str) -> None:
    install(request_, NEW)
    before = snapshot(request_)
    damage(Path(request_.library_dir, command.directory_name(NEW, "1.0"), "blksync", "cli.py"), how)
    assert install(request_, NEW)
    assert snapshot(request_) == before


def test_a_damaged_launcher_is_repaired(request_: InstallRequest) -> None:
    install(request_, NEW)
    Path(request_.path).write_text("exit 1\n")
    assert install(request_, NEW) == [request_.path]
    assert said(request_) == "new"


def test_strangers_are_removed(request_: InstallRequest) -> None:
    install(request_, NEW)
    before = snapshot(request_)
    own = Path(request_.library_dir, command.directory_name(NEW, "1.0"), "blksync")
    for path in (own / "__pycache__" / "cli.pyc", own / "stranger.py", own.parents[1] / "else" / "file"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (own / "link").symlink_to("/")
    assert len(install(request_, NEW)) == 6
    assert snapshot(request_) == before


def test_the_old_version_stays_while_a_command_runs(request_: InstallRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    install(request_, OLD)
    monkeypatch.setattr(command, "is_running", lambda path: path == request_.path)
    install(request_, NEW)
    assert len(os.listdir(request_.library_dir)) == 2
    assert install(request_, NEW) == []
    monkeypatch.undo()
    monkeypatch.setattr(tree, "OWNER", os.getuid())
    monkeypatch.setattr(tree, "GROUP", os.getgid())
    assert install(request_, NEW)
    assert os.listdir(request_.library_dir) == [command.directory_name(NEW, "1.0")]


def test_removal_leaves_nothing(request_: InstallRequest, tmp_path: Path) -> None:
    install(request_, OLD)
    absent = replace(request_, state="absent")
    assert install(absent, OLD)
    assert list(tmp_path.iterdir()) == []
    assert install(absent, OLD) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"library_dir": "/usr/local/lib"},
        {"library_dir": "blksync"},
        {"library_dir": "/usr/local/lib/blksync/.."},
        {"path": "/usr/local/lib/blksync/blksync"},
        {"path": "bin/blksync"},
        {"python": "/opt/my python"},
        {"python": "python3"},
    ],
)
def test_paths_that_are_dangerous_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        command.run(replace(InstallRequest(check=True), **wrong), NEW, "1.0")


def test_a_kill_at_any_moment_leaves_a_whole_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is once the one before which the installation ends; then the command still runs, as old or as new."""
    outcomes = []
    for last in range(1000):
        place = tmp_path / str(last)
        place.mkdir()
        request = request_in(place)
        install(request, OLD)
        (Path(request.library_dir) / command.directory_name(OLD, "1.0") / "litter").touch()
        left = iter(range(last))
        with monkeypatch.context() as killing:
            for name in STEPS:
                killing.setattr(os, name, killed_after(left, getattr(os, name)))
            try:
                command.run(request, NEW, "1.0")
            except Killed:
                outcomes.append(said(request))
            else:
                break
        install(request, NEW)
        assert said(request) == "new"
        assert install(request, NEW) == []
    assert len(outcomes) > 15
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {"old", "new"}


def killed_after(left: Any, step: Any) -> Any:
    """The step, as long as some are left."""

    def checked(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return step(*args, **options)

    return checked
