# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example for a fleet, with three workstations and a server, all of them directories on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.ansible import PlaybookRun, run_playbook
from tests.support.pairs import noise, with_changes
from tests.tooling.paths import ROOT

PLAYBOOK = ROOT / "examples" / "fleet-deltas.yml"
HOSTS = ("ada", "grace", "hedy")
SIZE = 300_000


class Fleet:
    """The hosts' disks and the server's images."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in (*HOSTS, "images", "spool"):
            (directory / name).mkdir()
        for number, host in enumerate(HOSTS):
            self.disk(host).write_bytes(noise(SIZE, seed=number + 1))
        self.inventory = directory / "inventory.json"
        connection = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(ROOT / ".venv" / "bin" / "python"),
            "ansible_become": False,
            "fleet_server": "vault",
            "fleet_images": str(directory / "images"),
            "fleet_spool": str(directory / "spool"),
        }
        hosts = {
            host: {"fleet_source": str(self.disk(host)), "fleet_outbox": str(directory / host / "outbox")}
            for host in HOSTS
        }
        groups = {"workstations": {"hosts": hosts}, "servers": {"hosts": {"vault": {}}}}
        self.inventory.write_text(json.dumps({"all": {"vars": connection, "children": groups}}))

    def disk(self, host: str) -> Path:
        return self.directory / host / "disk.img"

    def image(self, host: str) -> Path:
        return self.directory / "images" / f"{host}.img"

    def run(self) -> PlaybookRun:
        return run_playbook(PLAYBOOK, inventory=self.inventory)

    def deltas(self) -> list[str]:
        return sorted(path.name for path in self.directory.rglob("*.delta*"))


def recap(run: PlaybookRun, host: str) -> tuple[int, int]:
    """How many tasks changed and failed on a host."""
    found = re.search(rf"^{host} .*changed=(\d+) .*failed=(\d+)", run.output, re.MULTILINE)
    assert found, run.output
    return int(found[1]), int(found[2])


@pytest.mark.full
@pytest.mark.timeout(600)
def test_three_workstations_and_a_server(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    first = fleet.run()
    assert first.returncode == 0, first.output
    for host in HOSTS:
        assert fleet.image(host).read_bytes() == fleet.disk(host).read_bytes()
    assert fleet.deltas() == []

    # One is as before, one has changed, and the image of the third was written to by somebody.
    fleet.disk("grace").write_bytes(with_changes(fleet.disk("grace").read_bytes(), [5, 100_000, SIZE - 1]))
    fleet.disk("hedy").write_bytes(with_changes(fleet.disk("hedy").read_bytes(), [5]))
    fleet.image("hedy").write_bytes(with_changes(fleet.image("hedy").read_bytes(), [200_000]))
    spoilt = fleet.image("hedy").read_bytes()
    second = fleet.run()
    assert recap(second, "ada") == (0, 0)
    assert recap(second, "grace")[1] == 0
    assert fleet.image("grace").read_bytes() == fleet.disk("grace").read_bytes()
    assert recap(second, "hedy")[1] == 1
    assert "leads from" in second.output
    assert fleet.image("hedy").read_bytes() == spoilt
    assert fleet.deltas().count("hedy.delta") == 3  # it waits, at all three places

    # Begun again: without the image there, and without digest and delta here.
    fleet.image("hedy").unlink()
    for path in (tmp_path / "hedy" / "outbox").iterdir():
        path.unlink()
    third = fleet.run()
    assert third.returncode == 0, third.output
    assert fleet.image("hedy").read_bytes() == fleet.disk("hedy").read_bytes()
    assert fleet.deltas() == []
