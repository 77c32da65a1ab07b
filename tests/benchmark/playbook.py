# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible itself costs around an engine: whole playbooks on a small pair of disks on which nothing differs."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import own_mounts
from tests.support.ansible import ansible_environment, run_playbook
from tests.support.blocks import fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, run

SIZES = (2 * MIB // SECTOR, 8 * MIB // SECTOR)
SOURCE, TARGET = "0be9c001", "0be9c002"
SYNC = {"blksync.backup.disk_sync": {"source": SOURCE, "target": TARGET, "engine": "native"}}
PING: dict[str, Any] = {"ansible.builtin.ping": {}}


@dataclass(frozen=True)
class Overhead:
    """Seconds: of a playbook that does nothing, of one with disk_sync, and of the engine inside it."""

    ping: float
    sync: float
    engine: float


def measure_overhead() -> Overhead:
    """Run both playbooks once. RuntimeError where one fails."""
    ansible_environment()  # installs the collection, once
    own_mounts.take()  # without the records of the round before, whose disks had the same identifiers
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        for number in (1, 2):
            fill(source.partition(number))
            Path(target.partition(number)).write_bytes(Path(source.partition(number)).read_bytes())
            run("blockdev", "--flushbufs", target.partition(number))
        ping, _nothing = _run(PING)
        sync, result = _run(SYNC)
    if result["changed"]:
        raise RuntimeError("the pair for the playbook was to be unchanged")
    return Overhead(ping, sync, sum(pair["seconds"] for pair in result["partitions"]))


def _run(task: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    play = {"name": "Measure", "hosts": "localhost", "gather_facts": False, "tasks": [{"name": "Run", **task}]}
    with tempfile.TemporaryDirectory(prefix="blksync-bench-") as directory:
        playbook = Path(directory, "play.yml")
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        started = time.perf_counter()
        ended = run_playbook(playbook)
        seconds = time.perf_counter() - started
    if ended.returncode:
        raise RuntimeError(ended.output)
    return seconds, ended.result("Run")
