# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the rotated disks is plugged in, and which disk only looks like one of them."""

from __future__ import annotations

from blksync.discovery.model import Disk, Machine
from blksync.jobs import targets
from blksync.jobs.values import JobTarget

A, B, C = JobTarget("22222222"), JobTarget("33333333"), JobTarget("serial:B1")


def disk(name: str, ptuuid: str, serial: str) -> Disk:
    return Disk(name, f"/dev/{name}", f"8:{ord(name[-1])}", 1, ptuuid=ptuuid, serial=serial)


FIRST, SECOND = disk("sdb", "22222222", "A1"), disk("sdc", "33333333", "B1")
TWIN = disk("sdd", "22222222", "A2")


def test_none_one_and_all() -> None:
    assert targets.look(Machine(()), (A, B)) == targets.Presence((), (A, B))
    assert targets.look(Machine((SECOND,)), (A, B)) == targets.Presence((B,), (A,))
    assert targets.look(Machine((FIRST, SECOND)), (B, A)).present == (B, A)


def test_a_disk_that_two_entries_name_is_there_once() -> None:
    assert targets.look(Machine((FIRST, SECOND)), (B, C)).present == (B,)


def test_an_ambiguous_target_is_there_for_sync_to_refuse() -> None:
    assert targets.look(Machine((FIRST, TWIN)), (A,)).present == (A,)


def test_a_serial_number_tells_twins_apart() -> None:
    mine = JobTarget("22222222", "A1")
    assert targets.look(Machine((FIRST, TWIN)), (mine,)).present == (mine,)
    observed = targets.without_strangers(lambda: Machine((FIRST, TWIN, SECOND)), mine)()
    assert observed.disks == (FIRST, SECOND)


def test_another_disk_of_the_same_identifier_is_a_stranger() -> None:
    found = targets.look(Machine((TWIN,)), (JobTarget("22222222", "A1"),))
    assert found.present == ()
    assert "/dev/sdd" in found.strangers[0]
    assert "A1" in found.strangers[0]


def test_without_a_serial_number_every_disk_is_seen() -> None:
    assert targets.without_strangers(lambda: Machine((FIRST, TWIN)), A)().disks == (FIRST, TWIN)
