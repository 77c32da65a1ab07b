# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reason to refuse, as a table: what the machine looks like, and which reasons come out of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import pytest

from blksync.discovery.model import Disk, Holder, Machine, Switch
from blksync.options import SyncRequest
from blksync.sync import disk_plan
from tests.support.machines import MIB, disk, machine, mount, partition

REQUEST = SyncRequest(source="11111111", target="22222222", quiesce="none")


def main_and_backup(**target: Any) -> Machine:
    return machine(disk("sda", 8, "11111111"), disk("sdb", 9, "22222222", **target))


def with_target_partition(**fields: Any) -> Machine:
    return main_and_backup(partitions=(partition("sdb", 1, 9), partition("sdb", 2, 9, **fields)))


def crypt(**fields: Any) -> Holder:
    return Holder(name="dm-0", path="/dev/mapper/backup", devno="253:0", kind="crypt", **fields)


SYSTEM_BESIDE = (
    partition("sda", 1, 8),
    partition("sda", 2, 8),
    partition("sda", 3, 8, mounts=(mount("8:3", "/"),)),
)
CASES: dict[str, tuple[Machine, tuple[str, ...]]] = {
    "nothing wrong": (main_and_backup(), ()),
    "target absent": (machine(disk("sda", 8, "11111111")), ("target_disk_not_found",)),
    "source absent": (machine(disk("sdb", 8, "22222222")), ("source_disk_not_found",)),
    "both absent": (machine(disk("sdc", 8, "33333333")), ("source_disk_not_found", "target_disk_not_found")),
    "two disks carry the target's identifier": (
        machine(disk("sda", 8, "11111111"), disk("sdb", 9, "22222222"), disk("sdc", 10, "22222222")),
        ("target_disk_ambiguous",),
    ),
    "target read-only": (main_and_backup(read_only=True), ("target_read_only",)),
    "target partition read-only": (with_target_partition(read_only=True), ("target_read_only",)),
    "target partition mounted": (with_target_partition(mounts=(mount("9:2", "/mnt"),)), ("target_mounted",)),
    "target partition is swap": (with_target_partition(swap=True), ("target_swap",)),
    "target partition held by LUKS": (with_target_partition(holders=(crypt(),)), ("target_held",)),
    "whole target disk held": (main_and_backup(holders=(crypt(),)), ("target_held",)),
    "whole target disk mounted": (main_and_backup(mounts=(mount("9:0", "/mnt"),)), ("target_mounted",)),
    "partition missing on the target": (
        main_and_backup(partitions=(partition("sdb", 1, 9),)),
        ("partition_missing",),
    ),
    "sizes differ by one sector": (with_target_partition(size=64 * MIB + 512), ("size_differs",)),
    "an extended partition": (with_target_partition(parttype="0x5"), ("extended_partition",)),
    "the kernel goes by an older table of the target": (main_and_backup(stale=(2,)), ("partition_table_stale",)),
    "the kernel goes by older tables of both": (
        machine(disk("sda", 8, "11111111", stale=(1,)), disk("sdb", 9, "22222222", stale=(1, 2))),
        ("partition_table_stale", "partition_table_stale"),
    ),
    "the kernel does not show a partition that is not synced: no reason": (main_and_backup(stale=(3,)), ()),
    "the kernel does not show a partition that is synced": (
        main_and_backup(partitions=(partition("sdb", 1, 9),), stale=(2,)),
        ("partition_table_stale", "partition_missing"),
    ),
    "the table does not have a partition that the kernel shows and nobody syncs": (
        main_and_backup(partitions=tuple(partition("sdb", number, 9) for number in (1, 2, 3)), stale=(3,)),
        ("partition_table_stale",),
    ),
    "target partitions overlap": (with_target_partition(start=100 * MIB + 512), ("overlapping_partitions",)),
    "a target partition overlaps one that is not synced": (
        main_and_backup(
            partitions=(partition("sdb", 1, 9), partition("sdb", 2, 9), partition("sdb", 3, 9, start=250 * MIB))
        ),
        ("overlapping_partitions",),
    ),
    "the running system is on the target": (
        replace(main_and_backup(), mounts=(mount("9:3", "/"),), ancestry={"9:3": ("9:0",)}),
        ("target_runs_system",),
    ),
    "the firmware partition of a Raspberry Pi is on the target": (
        replace(main_and_backup(), mounts=(mount("9:1", "/boot/firmware"),), ancestry={"9:1": ("9:0",)}),
        ("target_runs_system",),
    ),
    "half of the running system is on the target, through LUKS": (
        machine(
            disk("sda", 8, "11111111"),
            disk("sdb", 9, "22222222"),
            mounts=(mount("8:2", "/"), mount("253:0", "/boot/efi")),
            ancestry={"253:0": ("9:0",)},
        ),
        ("target_runs_system",),
    ),
    "a data partition of the target is mounted: no reason": (
        replace(main_and_backup(), mounts=(mount("9:3", "/data"),), ancestry={"9:3": ("9:0",)}),
        (),
    ),
    "the target lives on the source": (
        machine(
            disk("sda", 8, "11111111"),
            disk("loop0", 7, "22222222"),
            ancestry={"7:0": ("7:0", "8:0")},
        ),
        ("stacked_disks",),
    ),
    "a blank target": (main_and_backup(partitions=()), ("target_has_no_table",)),
    "a blank source": (
        machine(replace(disk("sda", 8, "11111111"), partitions=()), disk("sdb", 9, "22222222")),
        ("source_has_no_table",),
    ),
    "a target with an empty table": (main_and_backup(partitions=(), table="dos"), ("partition_missing",)),
    "a target of whose table the kernel shows nothing": (
        main_and_backup(partitions=(), table="dos", stale=(3,)),
        ("partition_missing", "partition_missing"),
    ),
    "the running system starts from a partition that is not synced": (
        machine(
            disk("sda", 8, "11111111", *SYSTEM_BESIDE),
            disk("sdb", 9, "22222222"),
        ),
        ("system_left_out",),
    ),
    "all reasons at once": (
        main_and_backup(
            read_only=True,
            partitions=(
                partition("sdb", 1, 9, size=1 * MIB, mounts=(mount("9:1", "/a"),)),
                partition("sdb", 2, 9, swap=True, holders=(crypt(mounts=(mount("253:0", "/b"),)),)),
            ),
        ),
        ("target_read_only", "size_differs", "target_mounted", "target_swap", "target_held"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_reasons(case: str) -> None:
    situation, expected = CASES[case]
    assert [refusal.code for refusal in disk_plan.make(situation, REQUEST).refusals] == list(expected)


def typed(name: str, major: int, ptuuid: str, numbers: tuple[int, ...], **fields: Any) -> Disk:
    parts = tuple(partition(name, number, major, parttype="0xef" if number == 1 else "0x83") for number in numbers)
    return disk(name, major, ptuuid, **{"partitions": parts, "table": "dos", **fields})


WHOLE: dict[str, tuple[Machine, tuple[str, ...]]] = {
    "nothing wrong": (machine(typed("sda", 8, "11111111", (1, 2, 3)), typed("sdb", 9, "22222222", (1, 2, 3))), ()),
    "the target has more": (machine(typed("sda", 8, "11111111", (1, 2)), typed("sdb", 9, "22222222", (1, 2, 3))), ()),
    "the target has less": (
        machine(typed("sda", 8, "11111111", (1, 2, 3)), typed("sdb", 9, "22222222", (1, 2))),
        ("partition_missing",),
    ),
    "the kernel does not show all of the source": (
        machine(typed("sda", 8, "11111111", (1, 2), stale=(3,)), typed("sdb", 9, "22222222", (1, 2, 3))),
        ("partition_table_stale",),
    ),
    "the source has nothing but a container": (
        machine(
            disk("sda", 8, "11111111", partition("sda", 4, 8, parttype="0x5"), table="dos"),
            typed("sdb", 9, "22222222", (1, 2)),
        ),
        ("partition_missing",),
    ),
    "the source is absent": (machine(typed("sdb", 9, "22222222", (1, 2))), ("source_disk_not_found",)),
    "a blank target": (
        machine(typed("sda", 8, "11111111", (1, 2)), typed("sdb", 9, "22222222", (), table=None)),
        ("target_has_no_table",),
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_reasons_against_copying_the_whole(case: str) -> None:
    situation, expected = WHOLE[case]
    found = disk_plan.make(situation, replace(REQUEST, partitions="all"))
    assert [refusal.code for refusal in found.refusals] == list(expected)
    assert found.refusals or [pair.number for pair in found.pairs] == [
        part.number for part in situation.disks[0].partitions
    ]


SINGLE, DUAL = Switch("/sys/1-2/remove"), Switch("/sys/1-2/remove", ("sda",))
THIRD = (partition("sdb", 1, 9), partition("sdb", 2, 9), partition("sdb", 3, 9))
POWER_OFF: dict[str, tuple[Machine, tuple[str, ...]]] = {
    "nothing wrong": (main_and_backup(switch=SINGLE), ()),
    "no switch": (main_and_backup(), ("power_off_not_possible",)),
    "the main disk sits in the same dock": (main_and_backup(switch=DUAL), ("power_off_shared_device",)),
    "another partition is mounted": (
        main_and_backup(switch=SINGLE, partitions=(*THIRD[:2], replace(THIRD[2], mounts=(mount("9:3", "/data"),)))),
        ("power_off_target_in_use",),
    ),
    "another partition is swap and held": (
        main_and_backup(switch=SINGLE, partitions=(*THIRD[:2], replace(THIRD[2], swap=True, holders=(crypt(),)))),
        ("power_off_target_in_use", "power_off_target_in_use"),
    ),
    "a synced partition is mounted: said once": (
        main_and_backup(switch=SINGLE, partitions=(replace(THIRD[0], mounts=(mount("9:1", "/mnt"),)), *THIRD[1:])),
        ("target_mounted",),
    ),
    "together with every other reason": (
        main_and_backup(partitions=(THIRD[0], replace(THIRD[2], mounts=(mount("9:3", "/data"),)))),
        ("partition_missing", "power_off_not_possible", "power_off_target_in_use"),
    ),
}


@pytest.mark.parametrize("case", POWER_OFF)
def test_reasons_against_powering_off(case: str) -> None:
    situation, expected = POWER_OFF[case]
    assert [refusal.code for refusal in disk_plan.make(situation, replace(REQUEST, power_off=True)).refusals] == list(
        expected
    )
    assert not any("power_off" in refusal.code for refusal in disk_plan.make(situation, REQUEST).refusals)


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"quiesce": "freeze", "quiesce_timeout": 127}, True),
        ({"quiesce": "freeze", "quiesce_timeout": 128}, False),
        ({"quiesce": "freeze", "quiesce_timeout": 127, "rate_limit": 0}, False),
        ({"quiesce": "freeze", "quiesce_timeout": 127, "scope": "used"}, False),
        ({"quiesce": "live", "quiesce_timeout": 127}, False),
        ({"quiesce": "auto", "quiesce_timeout": 127}, False),
    ],
)
def test_a_freeze_that_must_take_too_long(options: dict[str, Any], refused: bool) -> None:
    """Two partitions of 64 MiB are mounted and are read at 1 MiB a second; the third is not mounted."""
    mounted = [
        partition("sda", number, 8, mounts=(mount(f"8:{number}", f"/{number}", mount_id=number),)) for number in (1, 2)
    ]
    source = disk("sda", 8, "11111111", *mounted, partition("sda", 3, 8))
    target = disk("sdb", 9, "22222222", *(partition("sdb", number, 9) for number in (1, 2, 3)))
    request = SyncRequest("11111111", "22222222", partitions=(1, 2, 3), **{"rate_limit": MIB, **options})
    refusals = disk_plan.make(machine(source, target), request).refusals
    assert [refusal.code for refusal in refusals] == ["rate_limit_too_low"] * refused


def test_same_disk() -> None:
    found = disk_plan.make(main_and_backup(), replace(REQUEST, target="11111111"))
    assert "same_disk" in [refusal.code for refusal in found.refusals]


@pytest.mark.parametrize(
    ("protected", "refused"),
    [
        (("22222222",), True),
        (("serial:SERIAL-sdb",), True),
        (("33333333",), False),
        (("11111111",), False),
        ((), False),
    ],
)
def test_protected(protected: tuple[str, ...], refused: bool) -> None:
    found = disk_plan.make(main_and_backup(), replace(REQUEST, protected=protected))
    assert ("target_protected" in [refusal.code for refusal in found.refusals]) is refused


def test_protected_by_an_ambiguous_identifier_protects_every_match() -> None:
    situation = machine(
        disk("sda", 8, "11111111"),
        disk("sdb", 9, "22222222", serial="twin"),
        disk("sdc", 10, "33333333", serial="twin"),
    )
    found = disk_plan.make(situation, replace(REQUEST, protected=("serial:twin",)))
    assert [refusal.code for refusal in found.refusals] == ["target_protected"]


def test_messages_name_sizes_and_candidates() -> None:
    sizes = disk_plan.make(with_target_partition(size=64 * MIB + 512), REQUEST).refusals[0]
    assert "67108864 bytes" in sizes.message
    assert "67109376 bytes" in sizes.message
    (missing,) = disk_plan.make(main_and_backup(partitions=(partition("sdb", 1, 9),)), REQUEST).refusals
    assert missing.hint == "It has 1. Make partition 2 on it: 67108864 bytes, wherever it fits."
    absent = str(disk_plan.make(machine(disk("sda", 8, "11111111")), REQUEST).refusals[0])
    for word in ("Model sda", "SERIAL-sda", "1000.0 MiB", "11111111"):
        assert word in absent


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, mounts=(mount(p.devno, "/mnt"),)),
        lambda p: replace(p, swap=True),
        lambda p: replace(p, holders=(crypt(),)),
    ],
)
def test_a_target_in_use_is_refused_on_every_pair(change: Callable[..., object]) -> None:
    for number in (1, 2):
        parts = [partition("sdb", 1, 9), partition("sdb", 2, 9)]
        parts[number - 1] = change(parts[number - 1])  # type: ignore[call-overload]
        assert disk_plan.make(main_and_backup(partitions=tuple(parts)), REQUEST).refusals


def test_a_table_that_the_kernel_refuses_needs_more_than_partprobe() -> None:
    (seen,) = disk_plan.make(main_and_backup(stale=(2,)), REQUEST).refusals
    assert seen.hint == "Run partprobe /dev/sdb or blockdev --rereadpt /dev/sdb, or replug the disk."
    unseen = disk_plan.make(main_and_backup(partitions=(), table="gpt", stale=(1, 2)), REQUEST).refusals[0]
    assert unseen.hint.startswith(seen.hint)
    assert "made for a larger disk, or for sectors that are not of 512 bytes" in unseen.hint
