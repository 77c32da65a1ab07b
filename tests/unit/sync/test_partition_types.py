# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of partitions: which count as equal, and the command that makes them so."""

from __future__ import annotations

import pytest

from blksync.discovery.model import Disk
from blksync.options import SyncRequest
from blksync.sync import disk_plan, partition_types
from blksync.sync.partition_types import ESP, LINUX
from tests.support.machines import disk, machine, partition

HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
REQUEST = SyncRequest("11111111", "22222222", quiesce="none")


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        ("0xef", "0xef", None),
        ("0xc", "0x0c", None),
        ("0xEF", "0xef", None),
        (ESP, ESP.upper(), None),
        ("0xef", "0x83", "ef"),
        ("0x0c", "0x83", "c"),
        ("0x0", "0x83", "0"),
        (ESP, LINUX, ESP),
        (LINUX, HOME, LINUX),
        ("0xef", ESP, None),
        (ESP, "0xef", None),
        ("0xef", LINUX, ESP),
        (ESP, "0x83", "ef"),
        ("0x83", ESP, LINUX),
        (LINUX, "0xef", "83"),
        (HOME, "0xef", "83"),
        ("0x83", HOME, None),
        (None, "0xef", None),
        ("0xef", None, None),
    ],
)
def test_types_that_differ(ours: str | None, theirs: str | None, wanted: str | None) -> None:
    target = disk("sdb", 9, "22222222")
    found = partition_types.difference(
        target, partition("sda", 2, 8, parttype=ours), partition("sdb", 2, 9, parttype=theirs)
    )
    assert (found and found.hint) == (wanted and "Run: sfdisk --part-type /dev/sdb 2 %s" % wanted)


def typed(name: str, major: int, ptuuid: str, *types: str | None) -> Disk:
    parts = [partition(name, number, major, parttype=kind) for number, kind in enumerate(types, 1)]
    return disk(name, major, ptuuid, *parts)


def test_a_difference_is_a_warning_for_a_named_part() -> None:
    there = machine(typed("sda", 8, "11111111", "0xef", "0x83"), typed("sdb", 9, "22222222", "0x83", "0x83"))
    found = disk_plan.make(there, REQUEST)
    assert found.refusals == ()
    assert found.warnings == (
        "Partition 1 differs in type: /dev/sda1 has 0xef, /dev/sdb1 has 0x83. Run: sfdisk --part-type /dev/sdb 1 ef",
    )


@pytest.mark.parametrize(("theirs", "code"), [("0x83", "type_differs"), (None, "type_unknown")])
def test_a_difference_is_refused_for_the_whole(theirs: str | None, code: str) -> None:
    there = machine(typed("sda", 8, "11111111", "0xef", "0x83"), typed("sdb", 9, "22222222", theirs, "0x83"))
    found = disk_plan.make(there, SyncRequest("11111111", "22222222", partitions="all", quiesce="none"))
    assert [refusal.code for refusal in found.refusals] == [code]
