# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on what, where it is not plain: loop files behind mounts, btrfs without a name, devices that vanish."""

from __future__ import annotations

import dataclasses

import pytest

from blksync.discovery.loops import Backing
from blksync.discovery.stack import KernelFacts, Stack
from blksync.discovery.sysfs import BlockDevice
from blksync.system.mountinfo import parse_mountinfo

DISKS = (
    BlockDevice("sda", "/dev/sda", "8:0", "disk", 1 << 30),
    BlockDevice("sda1", "/dev/sda1", "8:1", "partition", 1 << 29, number=1, below=("sda",)),
    BlockDevice("sdb", "/dev/sdb", "8:16", "disk", 1 << 30),
    BlockDevice("sdb1", "/dev/sdb1", "8:17", "partition", 1 << 29, number=1, below=("sdb",)),
)


def loop(name: str, devno: str, backing_file: str) -> BlockDevice:
    return BlockDevice(name, "/dev/" + name, devno, "loop", 1 << 20, backing_file=backing_file)


def stack(
    *devices: BlockDevice,
    mounts: str = "",
    swaps: tuple[str, ...] = (),
    btrfs: tuple[tuple[str, ...], ...] = (),
    nodes: dict[str, str] | None = None,
) -> Stack:
    lines = ["%d 0 %s" % (number, line) for number, line in enumerate(mounts.splitlines(), 1)]
    by_name = {device.name: device for device in DISKS + devices}
    return Stack(KernelFacts(by_name, parse_mountinfo("\n".join(lines)), swaps, btrfs, (nodes or {}).get))


def mountpoints(found: Stack, name: str) -> list[str]:
    return [mount.mountpoint for mount in found.mounts(name)]


def test_loop_file_is_on_the_innermost_mount() -> None:
    found = stack(
        loop("loop0", "7:0", "/mnt/b/file"),
        mounts="8:1 / / rw - ext4 /dev/sda1 rw\n8:17 / /mnt/b rw - ext4 /dev/sdb1 rw\n0:9 / /mnt/b/fi rw - tmpfs t rw",
    )
    assert found.ancestry()["7:0"] == ("8:16", "7:0")


def test_loop_file_behind_a_mount_of_the_same_loop_device() -> None:
    found = stack(
        loop("loop0", "7:0", "/mnt/file"),
        mounts="8:1 / / rw - ext4 /dev/sda1 rw\n7:0 / /mnt rw - ext4 /dev/loop0 rw",
    )
    assert found.ancestry()["7:0"] == ("8:0", "7:0")


def test_loop_file_behind_a_second_mount_on_the_same_dir() -> None:
    found = stack(
        loop("loop0", "7:0", "/mnt/file"),
        mounts="8:1 / /mnt rw - ext4 /dev/sda1 rw\n8:17 / /mnt rw - ext4 /dev/sdb1 rw",
    )
    assert found.ancestry()["7:0"] == ("8:16", "7:0")


def test_two_loop_devices_that_hide_each_other_do_not_hang() -> None:
    found = stack(
        loop("loop0", "7:0", "/one/file"),
        loop("loop1", "7:1", "/two/file"),
        mounts="7:1 / /one rw - ext4 /dev/loop1 rw\n7:0 / /two rw - ext4 /dev/loop0 rw\n8:1 / / rw - ext4 /dev/sda1 rw",
    )
    assert found.ancestry()["7:1"] == ("8:0", "7:1")
    assert found.ancestry()["7:0"] == ("8:0", "7:0", "7:1")


@pytest.mark.parametrize("backing_file", ["/mnt/file (deleted)", "/mnt/file"])
def test_loop_file_in_memory_is_on_no_disk(backing_file: str) -> None:
    found = stack(
        loop("loop0", "7:0", backing_file),
        mounts="8:1 / / rw - ext4 /dev/sda1 rw\n0:23 / /mnt rw - tmpfs tmpfs rw",
    )
    assert found.ancestry()["7:0"] == ("7:0",)


def test_loop_device_over_a_partition() -> None:
    found = stack(loop("loop0", "7:0", "/dev/disk/by-label/x"), nodes={"/dev/disk/by-label/x": "8:17"})
    assert found.above["sdb1"] == ["loop0"]


@pytest.mark.parametrize("fstype", ["fuse", "fuse.ntfs-3g", "fuse.btrfs", "nfs4", "overlay", "tmpfs"])
def test_the_source_name_of_a_mount_without_a_device_is_text(fstype: str) -> None:
    found = stack(mounts="0:50 / /home/eve/mnt rw - %s /dev/sda1:/dev/sdb1 rw" % fstype)
    assert [mountpoints(found, name) for name in ("sda", "sda1", "sdb1")] == [[], [], []]
    assert "0:50" not in found.ancestry()
    assert "0:50" not in found.written_below()


def test_fuseblk_lies_on_the_device_of_its_number() -> None:
    found = stack(mounts="8:17 / /mnt rw - fuseblk /dev/sda1 rw")
    assert mountpoints(found, "sdb1") == ["/mnt"]
    assert mountpoints(found, "sda1") == []


@pytest.mark.parametrize(
    ("source", "mounted"),
    [
        ("/dev/sda1", ["sda1", "sdb1"]),
        ("/dev/sdb1", ["sda1", "sdb1"]),
        ("/dev/disk/by-uuid/c", ["sdc1"]),
        ("/dev/root", ["sda1", "sdb1", "sdc1"]),
        ("none", ["sda1", "sdb1", "sdc1"]),
    ],
)
def test_btrfs_mount_uses_every_member_and_all_where_the_source_says_nothing(source: str, mounted: list[str]) -> None:
    found = stack(
        BlockDevice("sdc", "/dev/sdc", "8:32", "disk", 1 << 30),
        BlockDevice("sdc1", "/dev/sdc1", "8:33", "partition", 1 << 29, number=1, below=("sdc",)),
        mounts="0:40 /@ / rw - btrfs %s rw,subvol=/@" % source,
        btrfs=(("sda1", "sdb1"), ("sdc1",)),
        nodes={"/dev/disk/by-uuid/c": "8:33"},
    )
    assert [name for name in found.devices if found.mounts(name)] == mounted
    assert found.ancestry()["0:40"] == tuple(found.devices[name[:3]].devno for name in mounted)


def test_other_file_systems_without_a_device_number_by_their_sources() -> None:
    found = stack(mounts="0:41 / /data rw - bcachefs /dev/sda1:/dev/sdb1 rw\n0:5 / /dev rw - devtmpfs /dev/nothing rw")
    assert mountpoints(found, "sda1") == mountpoints(found, "sdb1") == ["/data"]
    assert "0:5" not in found.ancestry()


def test_swap_by_the_kernels_name_or_through_a_link() -> None:
    found = stack(swaps=("/dev/sda1", "/dev/disk/by-label/swap"), nodes={"/dev/disk/by-label/swap": "8:17"})
    assert [name for name in found.devices if found.is_swap(name)] == ["sda1", "sdb1"]


def test_a_lower_device_that_is_gone_is_left_out() -> None:
    found = stack(BlockDevice("md0", "/dev/md0", "9:0", "raid", 1 << 29, below=("sda1", "sdz1")))
    assert found.above["sda1"] == ["md0"]
    assert found.ancestry()["9:0"] == ("8:0",)


@pytest.mark.parametrize(
    ("kind", "uuid_kind", "disk"),
    [("dm", "partition", True), ("raid", "partition", True), ("dm", "dm", False), ("lvm", "partition", False)],
)
def test_a_mapping_is_a_disk_where_it_has_partitions(kind: str, uuid_kind: str, disk: bool) -> None:
    mapping = BlockDevice("dm-0", "/dev/mapper/x", "253:0", kind, 1 << 29, below=("sda",))
    upper = BlockDevice("dm-1", "/dev/mapper/x1", "253:1", uuid_kind, 1 << 28, number=1, below=("dm-0",))
    assert stack(mapping, upper).is_disk("dm-0") is disk


def test_paths_of_a_multipath_map_are_no_disks() -> None:
    mapping = BlockDevice("dm-0", "/dev/mapper/mpatha", "253:0", "mpath", 1 << 30, below=("sda", "sdb"))
    found = stack(mapping)
    assert [name for name in found.devices if found.is_disk(name)] == ["dm-0"]
    assert found.ancestry()["8:1"] == ("253:0",)


def test_partitions_are_ordered_by_number_not_by_name() -> None:
    tenth = dataclasses.replace(DISKS[1], name="sda10", path="/dev/sda10", devno="8:10", number=10)
    second = dataclasses.replace(DISKS[1], name="sda2", path="/dev/sda2", devno="8:2", number=2)
    assert [partition.number for partition in stack(tenth, second).partitions("sda")] == [1, 2, 10]


def sharing(*devices: BlockDevice) -> dict[str, list[str]]:
    found = stack(*devices)
    return {name: found.sharing(name) for name in found.devices if found.sharing(name)}


def test_a_loop_device_at_a_partitions_place_is_its_content_alone() -> None:
    first = dataclasses.replace(DISKS[0], size=1 << 30)
    one = dataclasses.replace(DISKS[1], start=1 << 20, size=1 << 20)
    two = dataclasses.replace(DISKS[1], name="sda2", devno="8:2", number=2, start=2 << 20, size=1 << 20)
    to_the_end = dataclasses.replace(loop("loop0", "7:0", "/dev/sda"), offset=1 << 20, size=(1 << 30) - (1 << 20))
    assert sharing(first, one, two, to_the_end) == {"sda1": ["loop0"]}


def test_two_loop_devices_over_one_file_have_the_same_bytes() -> None:
    backing = Backing(0x811, 5)
    one, two = (
        dataclasses.replace(loop("loop%d" % number, "7:%d" % number, "/%d" % number), backing=backing)
        for number in (0, 1)
    )
    assert sharing(one, two) == {"loop0": ["loop1"], "loop1": ["loop0"]}
    assert stack(one).below["loop0"] == ("sdb1",)
    assert sharing(one, dataclasses.replace(two, offset=1 << 20)) == {}


def test_a_mapping_on_the_whole_disk_counts_for_each_partition() -> None:
    found = stack(BlockDevice("dm-0", "/dev/mapper/x", "253:0", "dm", 1 << 20, below=("sda",)))
    assert found.users_of_whole("sda1") == {"sda": ["dm-0"]}
    assert found.users_of_whole("sdb1") == {}


def test_an_overlay_of_unknown_dirs_lies_nowhere() -> None:
    found = stack(mounts="0:50 / / rw - overlay overlay rw,lowerdir=/low,upperdir=/up,workdir=/work")
    assert "0:50" not in found.written_below()
