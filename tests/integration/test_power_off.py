# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last look before a disk is powered off. The switch is a plain file: loop devices have none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from blksync.discovery.model import Disk, Machine, Switch
from blksync.discovery.observe import observe
from blksync.errors import BlksyncError
from blksync.sync import power_off
from tests.support.disks import MIB, SECTOR, PartitionedDisk, run

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")


@pytest.fixture
def disk() -> Iterator[PartitionedDisk]:
    with PartitionedDisk("%08x" % random.getrandbits(32), (4 * MIB // SECTOR, 8 * MIB // SECTOR)) as made:
        yield made


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    path = tmp_path / "remove"
    path.touch()
    return path


def look(disk: PartitionedDisk, switch: Path, others: tuple[str, ...] = ()) -> tuple[Disk, Machine]:
    machine = observe()
    found = next(each for each in machine.disks if each.devno == disk.devno)
    found = replace(found, switch=Switch(str(switch), others))
    return found, replace(machine, disks=(found,))


def test_an_unused_disk_is_powered_off(disk: PartitionedDisk, switch: Path) -> None:
    power_off.power_off(*look(disk, switch))
    assert switch.read_text() == "1"


def test_a_disk_that_was_mounted_meanwhile_stays_on(disk: PartitionedDisk, switch: Path, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", disk.partition(2))
    mountpoint = tmp_path / "data"
    mountpoint.mkdir()
    planned, before = look(disk, switch)
    run("mount", disk.partition(2), str(mountpoint))
    try:
        with pytest.raises(BlksyncError, match="copied, but %s was not powered off.*%s" % (disk.path, mountpoint)):
            power_off.power_off(planned, look(disk, switch)[1])
        # As for a mount in another mount namespace, which cannot be seen.
        with pytest.raises(BlksyncError, match=r"was not powered off.*busy"):
            power_off.power_off(planned, before)
    finally:
        run("umount", str(mountpoint))
    assert switch.read_text() == ""


def test_a_disk_that_got_company_or_is_gone_stays_on(disk: PartitionedDisk, switch: Path) -> None:
    planned, _before = look(disk, switch)
    with pytest.raises(BlksyncError, match="shares its USB device with sdz"):
        power_off.power_off(planned, look(disk, switch, ("sdz",))[1])
    with pytest.raises(BlksyncError, match="no longer there"):
        power_off.power_off(replace(planned, serial="OTHER"), look(disk, switch)[1])
    assert switch.read_text() == ""
