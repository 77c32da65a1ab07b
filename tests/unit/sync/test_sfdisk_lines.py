# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do about a target whose partitions do not fit: a command where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blksync.discovery.model import Disk
from blksync.sync import sfdisk_lines
from tests.support.machines import MIB, disk, partition

SOURCE, TARGET = disk("sda", 8, "11111111"), disk("sdb", 9, "22222222", table="dos")
OURS = partition("sda", 1, 8, size=70 * MIB + 512)


def resize(target: Disk, number: int = 1, size: int = OURS.size) -> str:
    theirs = target.partition(number)
    assert theirs
    return sfdisk_lines.resize(target, replace(OURS, size=size), theirs)


def test_a_partition_with_room_behind_it_is_resized() -> None:
    assert resize(TARGET).endswith("run: echo 'size=143361' | sfdisk --no-reread -N 1 /dev/sdb")
    assert resize(TARGET, size=32 * MIB).endswith("'size=65536' | sfdisk --no-reread -N 1 /dev/sdb")


def test_sectors_are_those_of_the_target() -> None:
    large = replace(TARGET, logical_sector=4096)
    assert "'size=17920'" in resize(large, size=70 * MIB)
    assert "no multiple" in resize(large)


def test_up_to_the_next_partition_and_no_further() -> None:
    assert "'size=204800'" in resize(TARGET, size=100 * MIB)
    assert "partition 2 begins 104857600 bytes after its start" in resize(TARGET, size=100 * MIB + 512)


@pytest.mark.parametrize(("table", "reserved"), [("dos", 0), ("gpt", 33 * 512)])
def test_up_to_the_end_of_the_disk_and_no_further(table: str, reserved: int) -> None:
    target = replace(TARGET, table=table)
    room = 800 * MIB - reserved
    assert "sfdisk --no-reread -N 2" in resize(target, 2, room)
    assert "/dev/sdb ends %d bytes after its start" % room in resize(target, 2, room + 512)


def test_a_logical_partition_has_no_command() -> None:
    logical = disk("sdb", 9, "22222222", partition("sdb", 5, 9), table="dos")
    assert "sfdisk" not in resize(logical, 5)


def test_a_blank_disk_gets_the_partitions_of_the_source() -> None:
    blank = disk("sdb", 9, "")
    assert "sfdisk --dump /dev/sda | sed" in sfdisk_lines.same_layout(SOURCE, blank)
    assert sfdisk_lines.same_layout(SOURCE, blank).endswith("| sfdisk /dev/sdb")


@pytest.mark.parametrize("blank", [disk("sdb", 9, "", size=250 * MIB), disk("sdb", 9, "", logical_sector=4096)])
def test_another_kind_of_disk_gets_advice_only(blank: Disk) -> None:
    assert "wherever they fit" in sfdisk_lines.same_layout(SOURCE, blank)
