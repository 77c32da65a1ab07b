# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sync covers of its source, and that the running system is never left out without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.model import Disk, Holder, Machine, Partition
from blksync.discovery.observe import observe
from blksync.errors import Refusal
from blksync.options import SyncRequest
from blksync.sync import coverage, plan
from blksync.sync.coverage import LeftOut
from blksync.sync.disk_plan import make
from blksync.system.mountinfo import Mount
from tests.support.machines import MIB, disk, machine, mount, partition
from tests.support.recording import RecordedSystem

MACHINES = Path(__file__).parents[1] / "discovery" / "machines"
EXTENDED = partition("sda", 4, 8, size=1024, parttype="0x5")
HOME = partition("sda", 3, 8, mounts=(mount("8:3", "/home"),), fstype="ext4", label="home")


def source(*more: Partition) -> Disk:
    return disk("sda", 8, "11111111", partition("sda", 1, 8), partition("sda", 2, 8), *more)


def refusals(disk: Disk, chosen: tuple[int, ...], *mounts: Mount) -> list[Refusal]:
    return list(coverage.system_refusals(machine(disk, mounts=mounts), disk, chosen))


def codes(found: plan.Plan) -> list[str]:
    return [refusal.code for refusal in found.refusals]


def test_the_word_all_means_every_partition_but_containers() -> None:
    logical = partition("sda", 5, 8)
    assert coverage.numbers(source(HOME, EXTENDED, logical), "all") == (1, 2, 3, 5)
    assert coverage.numbers(source(HOME), (2, 1)) == (2, 1)
    assert coverage.numbers(None, "all") == ()


def test_what_is_left_out_is_described() -> None:
    home = LeftOut(3, "/dev/sda3", 64 * MIB, "ext4", "home", ["/home"])
    assert coverage.left_out(source(HOME, EXTENDED), (1, 2)) == [home]
    assert coverage.left_out(source(), (1, 2)) == []
    assert coverage.left_out(None, ()) == []


def test_what_is_left_out_has_the_mounts_on_top_of_it() -> None:
    crypt = Holder("dm-0", "/dev/mapper/home", "254:0", "crypt", mounts=(mount("254:0", "/home"),))
    (entry,) = coverage.left_out(source(partition("sda", 3, 8, holders=(crypt,))), (1, 2))
    assert entry.mountpoints == ["/home"]


def test_what_the_kernel_does_not_show_is_left_out_too() -> None:
    (hidden,) = coverage.left_out(replace(source(), stale=(3,)), (1, 2))
    assert hidden == LeftOut(3)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"mountpoints": ["/", "/srv"]}, "3 (/, /srv, 20.0 GiB)"),
        ({}, '3 ("data", ext4, 20.0 GiB)'),
        ({"label": None}, "3 (ext4, 20.0 GiB)"),
        ({"label": None, "fstype": None}, "3 (20.0 GiB)"),
        ({"label": None, "fstype": None, "size": None}, "3"),
    ],
)
def test_a_partition_that_is_left_out_has_a_name(known: dict[str, Any], text: str) -> None:
    assert str(replace(LeftOut(3, "/dev/sda3", 20 * 1024**3, "ext4", "data"), **known)) == text


@pytest.mark.parametrize("place", ["/", "/usr", "/boot", "/boot/efi", "/efi", "/boot/firmware"])
def test_what_the_running_system_starts_from_is_not_left_out(place: str) -> None:
    third = partition("sda", 3, 8, mounts=(mount("8:3", place), mount("8:3", "/srv")))
    (refusal,) = refusals(source(third), (1, 2))
    assert refusal.code == "system_left_out"
    assert "%s on /dev/sda3" % place in refusal.message
    assert "Set the option partitions to 1,2,3, or to all." in refusal.hint
    assert not refusals(source(third), (3,))


@pytest.mark.parametrize("place", ["/home", "/srv", "/var/lib/docker", "/usr/local"])
def test_data_may_be_left_out(place: str) -> None:
    third = partition("sda", 3, 8, mounts=(mount("8:3", place),))
    assert not refusals(source(third), (1, 2))


def test_a_root_on_a_stack_of_devices_is_found() -> None:
    volume = Holder("dm-1", "/dev/vg/root", "254:1", "lvm", mounts=(mount("254:1", "/"),))
    crypt = Holder("dm-0", "/dev/mapper/root", "254:0", "crypt", holders=(volume,))
    spanned = [partition("sda", number, 8, holders=(crypt,)) for number in (3, 4)]
    (refusal,) = refusals(source(*spanned), (1, 2, 3))
    assert "/ on /dev/sda4" in refusal.message
    assert "to 1,2,3,4, or" in refusal.hint


ON_DEMAND = mount("0:40", "/efi", fstype="autofs", source="systemd-1")


@pytest.mark.parametrize(
    ("root", "mounts", "refused"),
    [
        ("/", (ON_DEMAND,), True),
        ("/", (ON_DEMAND, mount("9:1", "/efi")), False),
        ("/", (), False),
        ("/srv", (ON_DEMAND,), False),
    ],
)
def test_an_esp_that_is_mounted_on_demand_counts(root: str, mounts: tuple[Mount, ...], refused: bool) -> None:
    esp = partition("sda", 1, 8, parttype="0xef")
    system = partition("sda", 2, 8, mounts=(mount("8:2", root),))
    found = refusals(disk("sda", 8, "11111111", esp, system), (2,), *mounts)
    assert ["/efi on /dev/sda1" in refusal.message for refusal in found] == [True] * refused


def with_backup(name: str) -> Machine:
    """A recorded machine and a second disk with the same partitions, not in use."""
    found = observe(RecordedSystem(MACHINES / name))
    main = next(disk for disk in found.disks if any(part.mounts for part in disk.partitions))
    parts = tuple(
        replace(part, path="/dev/copy%d" % part.number, devno="99:%d" % part.number, mounts=(), holders=(), links=())
        for part in main.partitions
    )
    backup = replace(
        main, name="copy", path="/dev/copy", devno="99:0", ptuuid="cccccccc", serial="COPY", links=(), partitions=parts
    )
    return replace(found, disks=(*found.disks, backup), ancestry={**(found.ancestry or {}), "99:0": ("99:0",)})


def test_the_default_does_not_leave_out_a_root_in_luks() -> None:
    request = SyncRequest("serial:S5GXNX0R123456A", "cccccccc")
    found = make(with_backup("nvme-lvm-on-luks"), request)
    (refusal,) = (refusal for refusal in found.refusals if refusal.code == "system_left_out")
    assert "/ on /dev/nvme0n1p10" in refusal.message
    assert "the option partitions to 1,2,10," in refusal.hint
    for partitions in ((1, 2, 10), "all"):
        whole = make(with_backup("nvme-lvm-on-luks"), replace(request, partitions=partitions))
        assert "system_left_out" not in codes(whole)
        assert [pair.number for pair in whole.pairs] == [1, 2, 10]


def test_a_disk_that_carries_all_of_its_system_is_not_refused() -> None:
    found = make(with_backup("recorded-usb-luks"), SyncRequest("11111111", "cccccccc"))
    assert codes(found) == []
    only_root = make(with_backup("recorded-usb-luks"), SyncRequest("11111111", "cccccccc", partitions=(2,)))
    assert codes(only_root) == ["system_left_out"]


def test_the_system_of_another_disk_is_none_of_the_source() -> None:
    third = partition("sda", 3, 8)
    elsewhere = mount("10:1", "/")
    found = make(
        machine(source(third), disk("sdb", 9, "22222222"), mounts=(elsewhere,)),
        SyncRequest("11111111", "22222222", quiesce="none"),
    )
    assert codes(found) == []


@pytest.mark.parametrize(
    ("words", "sentence"), [([], ""), (["1"], "1"), (["1", "2"], "1 and 2"), (["1", "2", "3"], "1, 2 and 3")]
)
def test_words_are_listed_as_in_a_sentence(words: list[str], sentence: str) -> None:
    assert coverage.enumerated(words) == sentence
