# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible killed while a source is frozen: its module notices at its output, or dies, and the guardian restores."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.paths import RUN_DIR
from tests.support.ansible import NAMESPACE, ansible_environment
from tests.support.disks import MIB, SECTOR
from tests.support.mounted import MountedPair, wait_for
from tests.support.quiesce_driver import DrivenQuiesce
from tests.support.waiting import PATIENCE
from tests.tooling.paths import VENV_BIN

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "e2fsck")
SIZES = (8 * MIB // SECTOR, 256 * MIB // SECTOR)  # large enough to be met while it is frozen
AT_MOST_LATER = 0.1  # seconds
MODULE = "AnsiballZ_disk_sync"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPair]:
    with MountedPair(tmp_path_factory.mktemp("disks"), SIZES) as pair:
        yield pair


@contextlib.contextmanager
def playing(pair: MountedPair, directory: Path) -> Iterator[subprocess.Popen]:
    """A real ansible-playbook at work in a session of its own."""
    options = {
        "source": pair.source.identifier,
        "target": pair.target.identifier,
        "engine": "native",
        "quiesce": "freeze",
    }
    task = {"name": "Sync", f"{NAMESPACE}.disk_sync": options}
    play = directory / "play.yml"
    play.write_text(json.dumps([{"name": "Sync", "hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    argv = [str(VENV_BIN / "ansible-playbook"), "--inventory", "localhost,", "--connection", "local", str(play)]
    argv += ["--extra-vars", json.dumps({"ansible_python_interpreter": str(VENV_BIN / "python")})]
    environment = {**os.environ, **ansible_environment(), "RESULTS_FILE": str(directory / "results")}
    null = subprocess.DEVNULL
    process = subprocess.Popen(argv, env=environment, stdin=null, stdout=null, stderr=null, start_new_session=True)
    try:
        yield process
    finally:
        for pid in [*descendants(process.pid), process.pid]:
            kill(pid)
        process.wait()


def descendants(pid: int) -> list[int]:
    """All processes below, by their parents; whoever has cut the bond is not among them."""
    parents: dict[int, list[int]] = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(directory.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def is_module(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return MODULE.encode() in Path("/proc/%d/cmdline" % pid).read_bytes()
    return False


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def root_is_frozen(pair: MountedPair) -> bool:
    """As the state file says it: to try would disturb the sync."""
    for file in Path(RUN_DIR).glob("quiesce-*.json"):
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(file.read_text())
            points = [point for entry in state["entries"] for point in entry["step"]["mounts"]]
            if any(point["mountpoint"] == str(pair.root) for point in points):
                return True
    return False


def killed_while_frozen(pair: MountedPair, directory: Path, victim: str, later: float) -> bool:
    """Kill ``victim`` of a playbook ``later`` seconds after the source was frozen; False where it ended before."""
    with playing(pair, directory) as playbook:
        wait_for(lambda: root_is_frozen(pair) or playbook.poll() is not None, 5 * PATIENCE)
        time.sleep(later)
        everyone = [*descendants(playbook.pid), playbook.pid]
        if playbook.poll() is not None:
            return False
        for pid in everyone:
            if victim == "everything" or is_module(pid) == (victim == "module"):
                kill(pid)
        wait_for(lambda: not pair.frozen())  # while Ansible, unless that was killed, is still there
    return True


@pytest.mark.parametrize("victim", ["ansible", "module", "everything"])
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.full) for n in range(1, 5))])
def test_ansible_killed(pair: MountedPair, tmp_path: Path, victim: str, number: int) -> None:
    (pair.root / "news").write_bytes(os.urandom(300_000))
    before = pair.mounts()
    chance = random.Random("%s %d" % (victim, number))
    while not killed_while_frozen(pair, tmp_path, victim, chance.uniform(0, AT_MOST_LATER)):
        pass  # it was too quick for this process, which may not get to run for a while
    pair.assert_restored(before)
    with DrivenQuiesce(**pair.request()) as driven:
        assert driven.end()["step"] == "done"
    pair.assert_copied()
