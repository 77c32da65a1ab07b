# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules and playbooks of the installed collection with real Ansible on this machine, and take their results."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tooling import collection
from tests.tooling.paths import ANSIBLE_BIN, BUILD, COLLECTIONS

NAMESPACE = "blksync.backup"
CALLBACKS = Path(__file__).parent / "callbacks"


@dataclass(frozen=True)
class TaskResult:
    """One task on one host: ``status`` is "ok", "failed", "skipped" or "unreachable"."""

    task: str
    status: str
    result: dict[str, Any]


@dataclass(frozen=True)
class PlaybookRun:
    """A playbook's end: ``output`` is what a person saw, ``tasks`` the results in order."""

    returncode: int
    output: str
    tasks: tuple[TaskResult, ...]

    def result(self, task: str) -> dict[str, Any]:
        """The result of the last task of that name; AssertionError with the output where none ran."""
        for candidate in reversed(self.tasks):
            if candidate.task == task:
                return candidate.result
        raise AssertionError(f"no task {task!r} ran:\n{self.output}")


def run_module(
    name: str,
    args: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    diff: bool = False,
    interpreter: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    inventory: Path | None = None,
) -> dict[str, Any]:
    """Run one module ("disk_info", or a full name) and return its result, with "failed" set to whether it failed.

    It runs on this machine, or on the one host of the inventory.
    """
    full_name = name if "." in name else f"{NAMESPACE}.{name}"
    task = {"name": "Run the module", full_name: dict(args or {})}
    play = {
        "name": "Run one module",
        "hosts": "all" if inventory else "localhost",
        "gather_facts": False,
        "tasks": [task],
    }
    with tempfile.TemporaryDirectory(dir=_build_dir(), prefix="play-") as directory:
        playbook = Path(directory, "play.yml")
        playbook.write_text(json.dumps([play]), encoding="utf-8")  # JSON is YAML, and quotes what has to be quoted
        run = run_playbook(
            playbook, check=check, diff=diff, interpreter=interpreter, environment=environment, inventory=inventory
        )
    return {**run.result("Run the module"), "failed": run.returncode != 0}


def run_playbook(
    playbook: str | Path,
    extra_vars: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    diff: bool = False,
    interpreter: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    inventory: Path | None = None,
    without_inventory: bool = False,
) -> PlaybookRun:
    """Run a playbook, a file or a full name such as "blksync.backup.sync_backup_disk".

    It runs against localhost with the interpreter, or against an inventory, which says how to reach its hosts, or
    as somebody without any inventory calls it.
    """
    where, forced = ["--inventory", "localhost,", "--connection", "local"], {"ansible_python_interpreter": interpreter}
    if inventory:
        where, forced = ["--inventory", str(inventory)], {}
    elif without_inventory:
        where, forced = [], {}
        environment = {"ANSIBLE_INVENTORY": "/nonexistent", **(environment or {})}
    command = [str(ANSIBLE_BIN / "ansible-playbook"), *where]
    command += ["--extra-vars", json.dumps({**forced, **(extra_vars or {})})]
    command += ["--check"] * check + ["--diff"] * diff + [*options, str(playbook)]
    with tempfile.TemporaryDirectory(dir=_build_dir(), prefix="results-") as directory:
        results = Path(directory, "results.jsonl")
        results.touch()
        run = subprocess.run(
            command,
            env={**os.environ, **ansible_environment(), "RESULTS_FILE": str(results), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        tasks = tuple(TaskResult(**json.loads(line)) for line in results.read_text(encoding="utf-8").splitlines())
    return PlaybookRun(run.returncode, run.stdout, tasks)


def ansible_environment() -> dict[str, str]:
    """Settings under which Ansible finds the collection as built and installed from these sources, and nothing else."""
    _install_collection()
    return {
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_HOME": str(BUILD / "ansible-home"),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "results_file",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
    }


@functools.lru_cache(maxsize=1)
def oldest_python() -> str:
    """The oldest Python ("3.8") on which this ansible-core runs modules, by its own word."""
    program = "from ansible.module_utils import basic; print('%d.%d' % basic._PY_MIN)"
    return subprocess.run(
        [ANSIBLE_BIN / "python", "-c", program], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


@functools.lru_cache(maxsize=1)
def _install_collection() -> None:
    with collection.locked():
        collection.install()


def _build_dir() -> Path:
    BUILD.mkdir(exist_ok=True)
    return BUILD
