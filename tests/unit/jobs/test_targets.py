# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the rotated disks is plugged in, and which disk only looks like one of them."""

from __future__ import annotations

from blksync.discovery.model import Disk, Machine
from blksync.jobs import targets
from blksync.jobs.config import Job
from blksync.jobs.values import JobTarget
from blksync.options import SyncRequest

A, B, C = JobTarget("22222222"), JobTarget("33333333"), JobTarget("serial:B1")


def disk(name: str, ptuuid: str, serial: str) -> Disk:
    return Disk(name, f"/dev/{name}", f"8:{ord(name[-1])}", 1, ptuuid=ptuuid, serial=serial)


FIRST, SECOND = disk("sdb", "22222222", "A1"), disk("sdc", "33333333", "B1")
LOOP = Disk("loop0", "/dev/loop0", "7:0", 1, ptuuid="22222222", backing_file="/home/eve/disk.img")
ARRAY = Disk("md127", "/dev/md127", "9:127", 1, ptuuid="22222222")
TWIN = disk("sdd", "22222222", "A2")


def job(*backups: JobTarget, loop_devices: bool = False) -> Job:
    return Job(SyncRequest("11111111", "22222222"), "travel", backups, loop_devices=loop_devices)


def look(machine: Machine, *backups: JobTarget) -> targets.Presence:
    return targets.look(machine, job(*backups))


def observed(target: JobTarget, *disks: Disk, loop_devices: bool = False) -> tuple[Disk, ...]:
    """What a sync of that target sees of a machine with these disks, and with an array on the loop device."""
    machine = Machine(disks, ancestry={"9:127": ("7:0", "9:127")})
    return targets.without_strangers(lambda: machine, job(target, loop_devices=loop_devices), target)().disks


def test_none_one_and_all() -> None:
    assert look(Machine(()), A, B) == targets.Presence((), (A, B))
    assert look(Machine((SECOND,)), A, B) == targets.Presence((B,), (A,))
    assert look(Machine((FIRST, SECOND)), B, A).present == (B, A)


def test_a_disk_that_two_entries_name_is_there_once() -> None:
    assert look(Machine((FIRST, SECOND)), B, C).present == (B,)


def test_an_ambiguous_target_is_there_for_sync_to_refuse() -> None:
    assert look(Machine((FIRST, TWIN)), A).present == (A,)


def test_a_serial_number_tells_twins_apart() -> None:
    mine = JobTarget("22222222", "A1")
    assert look(Machine((FIRST, TWIN)), mine).present == (mine,)
    assert observed(mine, FIRST, TWIN, SECOND) == (FIRST, SECOND)


def test_another_disk_of_the_same_identifier_is_a_stranger() -> None:
    found = look(Machine((TWIN,)), JobTarget("22222222", "A1"))
    assert found.present == ()
    assert "/dev/sdd" in found.strangers[0]
    assert "A1" in found.strangers[0]


def test_without_a_serial_number_every_disk_is_seen() -> None:
    assert observed(A, FIRST, TWIN) == (FIRST, TWIN)


def test_a_loop_device_is_no_backup_disk() -> None:
    found = look(Machine((LOOP,)), A)
    assert found.present == ()
    assert "/dev/loop0" in found.strangers[0]
    assert "loop_devices" in found.strangers[0]
    assert targets.look(Machine((LOOP,)), job(A, loop_devices=True)).present == (A,)


def test_a_loop_device_does_not_make_a_disk_ambiguous() -> None:
    assert look(Machine((FIRST, LOOP)), A).present == (A,)
    assert observed(A, FIRST, LOOP, ARRAY) == (FIRST,)
    assert observed(A, FIRST, LOOP, loop_devices=True) == (FIRST, LOOP)


def test_what_is_made_of_a_loop_device_is_no_backup_disk() -> None:
    assert observed(A, LOOP, ARRAY) == ()
