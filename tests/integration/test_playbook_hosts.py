# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On which hosts the playbooks work, and what each of them is asked, with real Ansible."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ansible import ansible_environment, run_playbook
from tests.support.command import InTerminal
from tests.support.disks import MIB, SECTOR, PartitionedDisk
from tests.tooling.paths import ANSIBLE_BIN

SYNC, BOOT_TEST = "blksync.backup.sync_backup_disk", "blksync.backup.boot_test_backup_disk"
NAMED = "Check that both disks are named"  # the first task on the hosts
SIZES = (4 * MIB // SECTOR, 4 * MIB // SECTOR)
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
OURS = "%06x" % (os.getpid() % 2**24)  # no other test process has disks of these identifiers
DISKS = {"desk1": (f"d1{OURS}", f"d2{OURS}"), "desk2": (f"d3{OURS}", f"d4{OURS}")}
CLEARED = "\x1b[K"
PATIENCE = 5  # seconds


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Two workstations and another host, all of them this machine."""
    desks = {
        host: {**LOCAL, "blksync_source": source, "blksync_target": target, "blksync_confirm": True}
        for host, (source, target) in DISKS.items()
    }
    path = tmp_path / "inventory.yml"
    path.write_text(json.dumps({"workstation": {"hosts": desks}, "other": {"hosts": {"web1": LOCAL}}}))
    return path


@pytest.fixture
def disks() -> Iterator[dict[str, PartitionedDisk]]:
    """The disks of both workstations."""
    names = [name for pair in DISKS.values() for name in pair]
    disks = {name: PartitionedDisk(name, SIZES) for name in names}
    yield disks
    for disk in disks.values():
        disk.close()


def test_without_an_inventory_this_machine_is_meant() -> None:
    run = run_playbook(SYNC, without_inventory=True)
    assert run.returncode != 0
    assert "blksync_source=IDENTIFIER" in run.result(NAMED)["msg"]
    assert "localhost" in run.output


@pytest.mark.parametrize("playbook", [SYNC, BOOT_TEST])
def test_an_inventory_without_the_group_is_an_error(playbook: str, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(json.dumps({"other": {"hosts": {"web1": LOCAL}}}))
    run = run_playbook(playbook, inventory=inventory)
    assert run.returncode != 0
    assert "No host matches workstation" in run.result("Stop if there is no host to work on")["msg"]
    assert len(run.tasks) == 1


@pytest.mark.parametrize("limit", ["web1", "nowhere"])
def test_a_limit_that_leaves_no_host_is_an_error(inventory: Path, limit: str) -> None:
    run = run_playbook(SYNC, inventory=inventory, options=["--limit", limit])
    assert run.returncode != 0
    assert len(run.tasks) == (1 if limit == "web1" else 0)


@pytest.mark.parametrize("pattern", ["localhost", "web*,desk1"])
def test_a_pattern_may_name_any_host(inventory: Path, pattern: str) -> None:
    run = run_playbook(SYNC, {"blksync_hosts": pattern, "blksync_source": None}, inventory=inventory, check=True)
    assert run.tasks[0].status == "skipped", run.output
    assert len(run.tasks) > 1


@pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
def test_each_host_is_asked_about_its_own_disks(inventory: Path, disks: dict[str, PartitionedDisk]) -> None:
    for name, disk in disks.items():
        Path(disk.partition(1)).write_bytes(name.encode())
    argv = [str(ANSIBLE_BIN / "ansible-playbook"), "--inventory", str(inventory), SYNC]
    with InTerminal(
        argv, environment={**os.environ, **ansible_environment(), "RESULTS_FILE": os.devnull, "TERM": "xterm"}
    ) as terminal:
        for host, words in (("desk1", "no"), ("desk2", "yes")):
            terminal.read_until(f"{host}:\r\n")
            answer(terminal, words)
            asked = terminal.seen.rpartition(f"{host}:\r\n")[2].partition("Type yes")[0]
            assert re.findall(r"/dev/\w+", asked) == [disks[name].path for name in DISKS[host]]
        assert terminal.end() != 0
    starts = {name: Path(disk.partition(1)).read_bytes()[:8].decode() for name, disk in disks.items()}
    assert [starts[target] == starts[source] for source, target in DISKS.values()] == [False, True], terminal.seen


def answer(terminal: InTerminal, words: str) -> None:
    """Answer a prompt of Ansible, which may drop what was typed too early, and clears the line when it has read it."""
    accepted = False
    while not accepted:
        terminal.press(f"{words}\r".encode())
        accepted = terminal.shows(CLEARED, PATIENCE)
