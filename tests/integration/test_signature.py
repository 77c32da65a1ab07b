# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mounting a real file system changes of its signature, and what leaves it alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from blksync.records import signature
from blksync.system.device import open_source
from tests.support.disks import MIB, LoopDevice, run

MAKE = {
    "ext2": ("mkfs.ext2", "-q"),
    "ext4": ("mkfs.ext4", "-q"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
}


@pytest.fixture
def device(kind: str) -> Iterator[LoopDevice]:
    with LoopDevice(320 * MIB) as device:
        run(*MAKE[kind], device.path)
        yield device


def taken(path: str) -> str:
    with open_source(path) as device:
        found = signature.take(device.read_bytes, device.size)
    assert found
    return found


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    path = tmp_path / "mnt"
    path.mkdir()
    return path


def with_needs(kinds: Mapping[str, tuple[str, ...]]) -> list[object]:
    return [pytest.param(kind, marks=pytest.mark.needs(command[0])) for kind, command in kinds.items()]


@pytest.mark.parametrize("kind", with_needs(MAKE))
def test_work_on_a_mounted_disk_changes_the_signature(device: LoopDevice, mountpoint: Path) -> None:
    before = taken(device.path)
    run("mount", device.path, str(mountpoint))
    try:
        (mountpoint / "work").write_bytes(os.urandom(MIB))
    finally:
        run("umount", str(mountpoint))
    assert taken(device.path) != before


@pytest.mark.parametrize("kind", with_needs({kind: MAKE[kind] for kind in ("ext4", "btrfs")}))
def test_mount_for_writing_alone_changes_the_signature(device: LoopDevice, mountpoint: Path) -> None:
    before = taken(device.path)
    run("mount", device.path, str(mountpoint))
    run("umount", str(mountpoint))
    assert taken(device.path) != before


@pytest.mark.parametrize("kind", with_needs(MAKE))
def test_looking_does_not_change_the_signature(device: LoopDevice, mountpoint: Path) -> None:
    before = taken(device.path)
    run("mount", "-o", "ro", device.path, str(mountpoint))
    try:
        os.listdir(mountpoint)
    finally:
        run("umount", str(mountpoint))
    assert taken(device.path) == before
