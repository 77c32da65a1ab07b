# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for the tests of roles: this machine, with everything that a role changes thrown away after the test.

/etc, /usr and /var are overlays whose upper directories are in memory, /run is empty but for the marks of a running
systemd and udev. systemctl and udevadm are fakes (fake_systemctl.py, fake_udevadm.py). Everything else is real.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from blksync.system import libc
from tests.support import fake_calls, fake_systemctl, fake_udevadm
from tests.support.ansible import NAMESPACE, PlaybookRun, ansible_environment, run_playbook
from tests.tooling.paths import ROOT

OVERLAYS = ("/etc", "/usr", "/var")
MARKS = ("/run/systemd/system/", "/run/udev/control", "/etc/systemd/system/", "/etc/udev/rules.d/")
"""What every host with systemd and udev has; a slash marks directories."""
INSTALLED = (
    "/etc/blksync",
    "/etc/systemd/system",
    "/etc/udev/rules.d",
    "/usr/local/bin",
    "/usr/local/lib",
    "/var/lib/blksync",
)
"""Where a machine may have what the roles install: names with "blksync" or "blocksync" there are hidden from tests."""
ASKING = ("show", "is-enabled", "is-active", "list-units", "list-unit-files", "info", "--version")
"""The verbs of systemctl and udevadm that change nothing."""
INVENTORY = "workstation ansible_connection=local ansible_python_interpreter={python}\n"


class Host:
    """The host "workstation", and the directory of the playbook that is run on it."""

    def __init__(self, directory: Path) -> None:
        """Use an empty directory of the test; mount() makes the host."""
        self.playbooks = directory / "playbooks"
        self._memory = directory / "memory"
        self._state = self._memory / "state"
        self.programs = self._memory / "bin"
        self._lower: dict[str, int] = {}
        self._at_first: set[str] = set()
        self.playbooks.mkdir()

    @contextlib.contextmanager
    def mount(self) -> Iterator[Host]:
        """Make the host, and unmake it at the end. Needs root and private mounts; OSError if overlays do not work."""
        ansible_environment()  # installs the collection, which must outlive the host
        self._memory.mkdir()
        with contextlib.ExitStack() as stack:
            _mount(stack, "tmpfs", str(self._memory), "mode=755")
            self._state.mkdir()
            self.programs.mkdir()
            for directory in OVERLAYS:
                self._lower[directory] = os.open(directory, os.O_PATH | os.O_DIRECTORY)
                stack.callback(os.close, self._lower[directory])
                upper, work = self._upper(directory), self._memory / f"work{directory}"
                upper.mkdir(parents=True)
                work.mkdir(parents=True)
                shutil.copystat(directory, upper)
                _mount(stack, "overlay", directory, f"lowerdir={directory},upperdir={upper},workdir={work}")
            _mount(stack, "tmpfs", "/run", "mode=755")
            self._set_up()
            yield self

    def _upper(self, directory: str) -> Path:
        return self._memory / f"upper{directory}"

    def _set_up(self) -> None:
        for mark in MARKS:
            Path(mark).parent.mkdir(parents=True, exist_ok=True)
            Path(mark).mkdir(exist_ok=True) if mark.endswith("/") else Path(mark).touch()
        for place in map(Path, INSTALLED):
            for path in [place, *place.glob("*"), *place.glob("*/*")]:
                if not re.search("blo?c?ksync", path.name):
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        for name in ("systemctl", "udevadm"):
            module = f"tests.support.fake_{name}"
            command = shlex.join([sys.executable, "-S", "-m", module, str(self._state)])
            self.write(
                str(self.programs / name),
                f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {command} "$@"\n',
                0o755,
            )
        self.write("hosts.ini", INVENTORY.format(python=sys.executable))
        self._at_first = set(self._entries())

    # Running roles.

    def apply(
        self,
        role: str,
        *,
        check: bool = False,
        diff: bool = True,
        tasks_from: str = "main",
        tell: str = "",
        options: Sequence[str] = (),
        **variables: Any,
    ) -> PlaybookRun:
        """Run a role with these variables as extra variables; a task "Tell" shows a variable that the role sets."""
        include = {"name": f"{NAMESPACE}.{role}", "tasks_from": tasks_from}
        tasks: list[dict[str, Any]] = [{"name": "Apply the role", "ansible.builtin.include_role": include}]
        if tell:
            tasks += [{"name": "Tell", "ansible.builtin.debug": {"msg": "{{ %s }}" % tell}, "tags": "always"}]
        play = [{"name": f"Apply the role {role}", "hosts": "workstation", "gather_facts": False, "tasks": tasks}]
        if tasks_from == "main":
            play[0]["roles"] = [f"{NAMESPACE}.{role}"]
            tasks.pop(0)
        return self.run(play, check=check, diff=diff, options=options, **variables)

    def run(
        self,
        plays: list[dict[str, Any]],
        *,
        check: bool = False,
        diff: bool = True,
        options: Sequence[str] = (),
        **variables: Any,
    ) -> PlaybookRun:
        """Run plays, which name the host "workstation"."""
        playbook = self.playbooks / "play.yml"
        playbook.write_text(json.dumps(plays))
        config = self.playbooks / "ansible.cfg"
        environment = {
            "ANSIBLE_PIPELINING": "true",
            "PATH": self._path,
            **({"ANSIBLE_CONFIG": str(config)} if config.exists() else {}),
        }
        return run_playbook(
            playbook,
            variables,
            check=check,
            diff=diff,
            options=options,
            inventory=self.playbooks / "hosts.ini",
            environment=environment,
        )

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host and return how it ended, with its output."""
        return subprocess.run(argv, env={**os.environ, "PATH": self._path}, capture_output=True, text=True, check=False)

    @property
    def _path(self) -> str:
        return f"{self.programs}:{os.environ['PATH']}"

    # Files.

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file: of the host if the path is absolute, else beside the playbook (group_vars/all.yml)."""
        file = self.playbooks / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def read(self, path: str) -> str:
        """Return the text of a file of the host."""
        return Path(path).read_text()

    def exists(self, path: str) -> bool:
        """Whether the host has this path, be it a broken link."""
        return os.path.lexists(path)

    def tree(self, *below: str) -> list[str]:
        """What was changed since the host was made, below these directories or anywhere.

        New and changed files, new directories with a slash at the end, and "removed PATH" for what is gone. Python's
        caches are left out.
        """
        changed = sorted(set(self._entries()) - self._at_first)
        return [path for path in changed if not below or path.removeprefix("removed ").startswith(below)]

    def _entries(self) -> Iterator[str]:
        for path in _walk(Path("/run")):
            yield f"{path}/" if _is_directory(path) else str(path)
        for directory, lower in self._lower.items():
            upper = self._upper(directory)
            for path in _walk(upper):
                relative = path.relative_to(upper)
                place = f"{directory}/{relative}"
                if _is_directory(path):
                    if not _exists_below(lower, relative):
                        yield f"{place}/"
                elif stat.S_ISCHR(path.lstat().st_mode):  # a whiteout
                    yield f"removed {place}"
                else:
                    yield place

    # The fakes.

    @property
    def calls(self) -> list[str]:
        """The calls of systemctl and udevadm, in order."""
        return [shlex.join(argv) for argv in fake_calls.calls(self._state)]

    @property
    def changing_calls(self) -> list[str]:
        """The calls of systemctl and udevadm that can change something, in order."""
        return [shlex.join(argv) for argv in fake_calls.calls(self._state) if not set(ASKING) & set(argv)]

    def forget_calls(self) -> None:
        """Begin a new log of calls."""
        (self._state / "calls.jsonl").unlink(missing_ok=True)

    def fail_at(self, call: str, nth: int = 1) -> None:
        """Let the nth call from now on that begins with these words ("systemctl daemon-reload") fail, and no other."""
        fake_calls.fail_at(self._state, call, nth)

    def unit(self, name: str) -> dict[str, str]:
        """What systemctl show answers for a unit."""
        return fake_systemctl.FakeSystemd(self._state).show(name)

    def loaded_text(self, name: str) -> str:
        """The files of a unit as systemd has them in memory; empty if the unit is not loaded."""
        unit = fake_systemctl.FakeSystemd(self._state).loaded.get(name)
        return unit.text if unit else ""

    def set_unit_state(self, name: str, state: str) -> None:
        """Let a unit be "active", "failed" or "inactive"."""
        fake_systemctl.FakeSystemd(self._state).set_state(name, state)

    def udev_rules(self) -> dict[str, str]:
        """The rules in /etc/udev/rules.d when udev read them last, by file name."""
        return fake_udevadm.rules_in_force(self._state)

    def set_udev_database(self, text: str) -> None:
        """What udevadm info --export-db prints from now on."""
        (self._state / "export-db.txt").write_text(text)


@contextlib.contextmanager
def made_or_skipped(directory: Path) -> Iterator[Host]:
    """A host for one test. Skips the test, with the reason, if this machine or user cannot have one."""
    if os.geteuid():
        pytest.skip("needs root")
    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(Host(directory).mount())
        except OSError as error:
            pytest.skip(f"needs overlays: {error}")
        yield host


def _mount(stack: contextlib.ExitStack, fstype: str, directory: str, options: str) -> None:
    libc.mount("blksync-tests", directory, fstype, 0, options)
    stack.callback(libc.unmount, directory)


def _walk(top: Path) -> Iterator[Path]:
    for entry in os.scandir(top):
        if entry.name == "__pycache__":
            continue
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _exists_below(directory: int, relative: Path) -> bool:
    try:
        os.stat(relative, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
