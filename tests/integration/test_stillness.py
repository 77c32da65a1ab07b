# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness of stillness, on real devices and files: what it counts, and when it is no witness at all."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blksync.errors import QuiesceError
from blksync.quiesce import stillness
from blksync.quiesce.stillness import Change, Counts, Stillness, change, expect_none
from blksync.system.device import Device, allocate, open_source
from tests.support.disks import MIB, SECTOR, PartitionedDisk, run

BLKDISCARD = 0x1277  # linux/fs.h
SIZES = (4 * MIB // SECTOR, 8 * MIB // SECTOR)


def test_what_two_counts_tell() -> None:
    before = Counts(read=10, written=20, discarded=30, past=40)
    assert change("/dev/x", before, Counts(99, 20, 30, 40)) == Change()
    assert change("/dev/x", before, Counts(10, 20, 35, 40)) == Change("", 5)
    assert change("/dev/x", before, Counts(10, 21, 30, 40)).written == "1 bytes were written to /dev/x"
    assert "past /dev/x" in change("/dev/x", before, Counts(10, 20, 30, 41)).written
    assert change("/dev/x", before, Counts(10, 20, 30, 39)) == Change()


@pytest.fixture(scope="module")
def disk() -> Iterator[PartitionedDisk]:
    with PartitionedDisk("c%07x" % os.getpid(), SIZES) as disk:
        yield disk


@pytest.fixture
def device(disk: PartitionedDisk) -> Iterator[Device]:
    with open_source(disk.partition(2)) as device:
        yield device


@pytest.fixture
def still(device: Device) -> Stillness:
    still = stillness.of(device)
    still.begin()
    return still


def write(path: str, offset: int = 0, flags: int = os.O_DSYNC) -> None:
    fd = os.open(path, os.O_WRONLY | flags)
    try:
        os.pwrite(fd, bytes(SECTOR), offset)
    finally:
        os.close(fd)


needs_disks = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")


@needs_disks
def test_nothing_but_our_own_reads(device: Device, still: Stillness) -> None:
    device.read(allocate(MIB), 0)
    assert still.end(MIB) == Change()


@needs_disks
def test_a_write_through_the_partition(disk: PartitionedDisk, still: Stillness) -> None:
    write(disk.partition(2))
    found = still.end()
    assert "written to %s" % disk.partition(2) in found.written
    with pytest.raises(QuiesceError, match="written to while it was read"):
        expect_none(found, disk.partition(2))


@needs_disks
def test_a_write_through_the_whole_disk(disk: PartitionedDisk, still: Stillness) -> None:
    write(disk.path, 8 * MIB)
    assert "past %s" % disk.partition(2) in still.end().written


@needs_disks
def test_a_write_to_another_partition_is_none(disk: PartitionedDisk, still: Stillness) -> None:
    write(disk.partition(1))
    assert still.end() == Change()


@needs_disks
def test_a_buffered_write_counts_once_it_reaches_the_disk(disk: PartitionedDisk, device: Device) -> None:
    """What was in the cache before is written when the cache is dropped, as a sync does before it begins to count."""
    write(disk.partition(2), flags=0)
    device.drop_cache()
    still = stillness.of(device)
    still.begin()
    assert still.end() == Change()


@needs_disks
def test_a_discard_is_told_apart(disk: PartitionedDisk, still: Stillness) -> None:
    fd = os.open(disk.partition(2), os.O_WRONLY)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", MIB, 64 * 1024))
    finally:
        os.close(fd)
    found = still.end()
    assert found == Change("", 64 * 1024)
    with pytest.raises(QuiesceError, match="discarded"):
        expect_none(found, disk.partition(2))


@needs_disks
def test_a_kernel_that_does_not_count_is_no_witness(disk: PartitionedDisk, device: Device, still: Stillness) -> None:
    switch = Path("/sys/class/block", disk.name, "queue/iostats")
    switch.write_text("0")
    try:
        device.read(allocate(MIB), 0)
        write(disk.partition(2))
    finally:
        switch.write_text("1")
    with pytest.raises(QuiesceError, match="does not count") as caught:
        still.end(MIB)
    assert str(switch.name) in caught.value.hint


@needs_disks
def test_a_partition_that_is_gone() -> None:
    with PartitionedDisk("d%07x" % os.getpid(), SIZES) as disk:
        with open_source(disk.partition(2)) as device:
            still = stillness.of(device)
            still.begin()
        run("partx", "--delete", "--nr", "2", disk.path)
        with pytest.raises(QuiesceError, match="does not report what is written") as caught:
            still.end()
    assert "unplugged" in caught.value.hint


def test_what_was_gone_before_it_was_looked_at(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(SECTOR))
    with open_source(str(tmp_path / "image")) as device:
        device.is_block, device.devno = True, "0:4095"
        with pytest.raises(QuiesceError, match="does not report what is written"):
            stillness.of(device)


def test_the_remedy_for_an_nvme_disk_with_several_paths() -> None:
    assert "/sys/devices/pci/block/sda/queue/iostats" in stillness.remedy("/sys/devices/pci/block/sda")
    assert "nvme_core.multipath=N" in stillness.remedy("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"y")


def rewrite_with_old_times(path: Path) -> None:
    before = path.stat()
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def grow(path: Path) -> None:
    os.truncate(path, 3 * SECTOR)


@pytest.mark.parametrize("act", [overwrite, rewrite_with_old_times, grow])
def test_a_file_that_is_written_to(tmp_path: Path, act: Callable[[Path], None]) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * SECTOR)
    with open_source(str(image)) as source:
        still = stillness.of(source)
        still.begin()
        assert still.end() == Change()
        act(image)
        assert "%s was written to" % image in still.end().written


def test_a_file_that_is_written_to_through_a_mapping(tmp_path: Path) -> None:
    """Mapped and dirty before: the next write through the mapping is noticed all the same."""
    image = tmp_path / "image"
    image.write_bytes(b"x" * mmap.PAGESIZE)
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped, open_source(str(image)) as source:
        mapped[0] = 1
        still = stillness.of(source)
        still.begin()
        mapped[1] = 1
        assert "was written to" in still.end().written
