# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest, killed at any moment: the next run with that digest ends equal."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync import discovery, sync
from blksync.machine import Machine
from blksync.request import SyncRequest
from tests.support.blocks import assert_equal, fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers
from tests.support.sync_driver import Driven

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (MIB // SECTOR, 8 * MIB // SECTOR + 1)
SOURCE, TARGET = identifiers()
RUNS = {"sample": 6, "full": 100, "long": 2000}
LONGEST = 0.4  # seconds: longer than a run takes on an idle machine, from its first pair on


@pytest.fixture(scope="module")
def disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk, Machine]]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        for number in (1, 2):
            fill(source.partition(number))
        yield source, target, discovery.observe()


@pytest.mark.timeout(900)
def test_killed_at_random_the_next_run_with_that_digest_ends_equal(
    disks: tuple[PartitionedDisk, PartitionedDisk, Machine], tmp_path: Path, depth: str
) -> None:
    source, target, machine = disks
    options: dict[str, Any] = {"engine": "native", "quiesce": "none", "digest_dir": str(tmp_path / "digests")}
    chance = random.Random(depth)
    killed = believed = 0
    for number in range(RUNS[depth]):
        for _change in range(chance.randrange(4)):
            fill(source.partition(2), chance.randrange(7 * MIB), chance.choice([1, 5000, MIB]))
        with Driven(source=SOURCE, target=TARGET, **options) as driven:
            driven.wait_for(chance.choice(["started:1", "advanced:1", "started:2", "advanced:2"]))
            time.sleep(chance.uniform(0, LONGEST) if number % 2 else chance.uniform(0, 0.02))
            killed += driven.process.poll() is None
            driven.process.kill()
        result = sync.run(SyncRequest(SOURCE, TARGET, **options), observe=lambda: machine).as_dict()
        believed += sum(pair["digest"]["used"] for pair in result["partitions"])
        assert_equal(source, target)
        again = sync.run(SyncRequest(SOURCE, TARGET, **options), observe=lambda: machine).as_dict()
        assert not again["changed"]
        assert [pair["digest"]["used"] for pair in again["partitions"]] == [True, True]
        assert not [name for name in os.listdir(tmp_path / "digests") if name.endswith(".new")]
    assert killed >= RUNS[depth] // 3  # else the machine is so fast that this shows nothing
    if depth != "sample":
        assert 0 < believed < 2 * RUNS[depth]  # some digests outlived the killing, some did not
