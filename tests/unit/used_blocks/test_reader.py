# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device holds the file system, and a map that never raises: where nothing is known, it says why."""

from __future__ import annotations

import errno
import os

import pytest

from blksync.discovery.model import Holder, Partition
from blksync.errors import Reason
from blksync.ranges import whole
from blksync.system.mountinfo import Mount
from blksync.used_blocks import reader
from blksync.used_blocks.errors import UnknownLayoutError
from blksync.used_blocks.filesystem import BackingDevice, find_backing_device, is_loop_over_file
from blksync.used_blocks.reader import UsedMap

SIZE = 1 << 30


def mount(devno: str = "8:1", fstype: str = "ext4", mountpoint: str = "/mnt") -> Mount:
    return Mount(40, 20, devno, "/", mountpoint, "rw", (), fstype, "/dev/x", "rw")


def holder(kind: str, name: str = "dm-0", devno: str = "253:0", **more: object) -> Holder:
    return Holder(name, "/dev/mapper/" + name, devno, kind, **more)  # type: ignore[arg-type]


def partition(**more: object) -> Partition:
    return Partition(1, "sda1", "/dev/no such device", "8:1", 1 << 20, SIZE, **more)  # type: ignore[arg-type]


MOUNTED = mount("253:0")
IMAGE, CLONE = holder("loop", "loop0", "7:0"), holder("loop", "loop1", "7:1")


@pytest.mark.parametrize(
    ("found", "backing"),
    [
        (partition(mounts=(mount(),)), BackingDevice("8:1", "ext4", (mount(),))),
        (partition(mounts=(mount(fstype="xfs"),)), BackingDevice("8:1", "xfs", (mount(fstype="xfs"),))),
        (
            partition(mounts=(mount(), mount(mountpoint="/b"))),
            BackingDevice("8:1", "ext4", (mount(), mount(mountpoint="/b"))),
        ),
        (partition(mounts=(mount(),), holders=(IMAGE,)), BackingDevice("8:1", "ext4", (mount(),))),
        (
            partition(holders=(holder("crypt", mounts=(MOUNTED,), holders=(IMAGE,)),)),
            BackingDevice("253:0", "ext4", (MOUNTED,), "dm-0"),
        ),
    ],
)
def test_where_the_file_system_lies(found: Partition, backing: BackingDevice) -> None:
    assert find_backing_device(found, lambda loop: loop == IMAGE) == backing


@pytest.mark.parametrize(
    ("found", "code", "reason"),
    [
        (partition(), "not_mounted", "its file system is not mounted"),
        (partition(swap=True), "swap", "it is used as swap"),
        (partition(mounts=(mount(fstype="vfat"),)), "unsupported", "vfat does not report which blocks it uses"),
        (partition(mounts=(mount("0:33", "btrfs"),)), "unsupported", "btrfs does not report which blocks it uses"),
        (partition(mounts=(mount(), mount(fstype="vfat"))), "several_types", "it is mounted as ext4 and as vfat"),
        (partition(mounts=(mount("0:33"),)), "unsupported", "ext4 does not report which blocks it uses"),
        (partition(holders=(holder("lvm"),)), "stacked", "/dev/mapper/dm-0 (lvm) lies on it"),
        (partition(holders=(holder("dm", mounts=(MOUNTED,)),)), "stacked", "/dev/mapper/dm-0 (dm) lies on it"),
        (partition(holders=(IMAGE,)), "stacked", "/dev/mapper/loop0 (loop) lies on it"),
        (partition(mounts=(mount(),), holders=(CLONE,)), "stacked", "/dev/mapper/loop1 (loop) lies on it"),
        (partition(mounts=(mount(),), holders=(holder("crypt"),)), "stacked", "/dev/mapper/dm-0 (crypt) lies on it"),
        (
            partition(holders=(holder("crypt"), holder("crypt", "dm-1"))),
            "stacked",
            "/dev/mapper/dm-0 (crypt) lies on it",
        ),
        (partition(holders=(holder("crypt"),)), "not_mounted", "nothing is mounted of its LUKS mapping"),
        (partition(holders=(holder("crypt", swap=True),)), "not_mounted", "nothing is mounted of its LUKS mapping"),
        (
            partition(holders=(holder("crypt", holders=(holder("lvm", "dm-1"),)),)),
            "stacked",
            "/dev/mapper/dm-1 (lvm) lies on it",
        ),
        (
            partition(holders=(holder("crypt", mounts=(mount("253:0", "btrfs"),)),)),
            "unsupported",
            "btrfs does not report which blocks it uses",
        ),
    ],
)
def test_why_nothing_is_known(found: Partition, code: str, reason: str) -> None:
    with pytest.raises(UnknownLayoutError) as caught:
        find_backing_device(found, lambda loop: loop == IMAGE)
    assert caught.value.reason == Reason(code, reason)
    with UsedMap(found) as used_map:
        assert used_map.read(4096).ranges == whole(SIZE)
        assert used_map.reason


def test_a_loop_device_that_is_gone_is_over_no_file() -> None:
    assert not is_loop_over_file(holder("loop", "no-such-loop"))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (partition(mounts=(mount(mountpoint="/no such directory"),)), "cannot be reached at /no such directory"),
        (partition(mounts=(mount(mountpoint="/proc"),)), "cannot be reached at /proc"),
        (partition(holders=(holder("crypt", mounts=(MOUNTED,)),)), "Cannot open /dev/no such device"),
    ],
)
def test_what_changed_meanwhile_is_a_reason(found: Partition, reason: str) -> None:
    with UsedMap(found) as used_map:
        used = used_map.read(4096)
    assert used.ranges == whole(SIZE)
    assert used.reason is not None
    assert reason in used.reason.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOTTY, "no"), "ext4 does not report which blocks it uses"),
        (OSError(errno.EOPNOTSUPP, "no"), "ext4 does not report which blocks it uses"),
        (OSError(errno.EUCLEAN, "no"), "ext4 cannot report which blocks it uses (%s)" % os.strerror(errno.EUCLEAN)),
        (UnknownLayoutError("map_invalid", "the map is wrong"), "the map is wrong"),
    ],
)
def test_a_map_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(reader, "_open_dir", lambda _backing: os.open("/", os.O_RDONLY))
    monkeypatch.setattr(reader, "READERS", {"ext4": refuse})
    with UsedMap(partition(mounts=(mount(),))) as used_map:
        assert used_map.reason is None
        used = used_map.read(4096)
    assert used.reason is not None
    assert (used.ranges, used.skipped, used.reason.message) == (whole(SIZE), 0, reason)


def test_the_dir_is_let_go() -> None:
    opened: list[int] = []

    def open_dir(_backing: BackingDevice) -> int:
        opened.append(os.open("/", os.O_RDONLY))
        return opened[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_open_dir", open_dir)
        with UsedMap(partition(mounts=(mount(),))) as used_map:
            os.fstat(opened[0])
        used_map.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
