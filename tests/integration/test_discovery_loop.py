# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery on real block devices of this machine, which has no udev where tests usually run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from blksync.discovery.model import Disk, Partition
from blksync.discovery.observe import observe
from tests.support.disks import MIB, SECTOR, LoopDevice, PartitionedDisk, run

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (4 * MIB // SECTOR, 24 * MIB // SECTOR + 3)


def new_identifier(table: str = "dos") -> str:
    """An identifier that no other disk has."""
    return str(uuid.uuid4()) if table == "gpt" else uuid.uuid4().hex[:8]


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def disk(cleanup: ExitStack) -> PartitionedDisk:
    return cleanup.enter_context(PartitionedDisk(new_identifier(), SIZES))


@pytest.fixture
def mount(cleanup: ExitStack, tmp_path: Path) -> Callable[..., Path]:
    def mounted(device: str, name: str, *options: str) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        run("mount", *options, device, str(directory))
        cleanup.callback(run, "umount", str(directory))
        return directory

    return mounted


def observed(device: LoopDevice) -> Disk:
    """What discovery says of a disk now."""
    return next(found for found in observe().disks if found.devno == device.devno)


def observed_partition(device: LoopDevice, number: int) -> Partition:
    """What discovery says of a partition now."""
    found = observed(device).partition(number)
    assert found is not None
    return found


def blkid(device: str, tag: str) -> str | None:
    """What the program says of a device itself."""
    run = subprocess.run(["blkid", "-p", "-s", tag, "-o", "value", device], stdout=subprocess.PIPE, check=False)
    return run.stdout.decode().strip() or None


@pytest.mark.parametrize("table", ["dos", "gpt"])
def test_table_and_partitions(cleanup: ExitStack, table: str) -> None:
    identifier = new_identifier(table)
    device = cleanup.enter_context(PartitionedDisk(identifier, SIZES, table))
    run("mkfs.ext4", "-q", "-L", "a label", device.partition(2))
    disk = observed(device)
    assert (disk.path, disk.size, disk.backing_file) == (device.path, device.size, str(device.file))
    assert (disk.table, disk.ptuuid) == (table, identifier)
    assert (disk.logical_sector, disk.read_only, disk.removable) == (512, False, False)
    assert [(part.number, part.path) for part in disk.partitions] == [(n, device.partition(n)) for n in (1, 2)]
    assert [(part.start, part.size) for part in disk.partitions] == [
        (2048 * SECTOR, SIZES[0] * SECTOR),
        ((2048 + SIZES[0] + 2048) * SECTOR, SIZES[1] * SECTOR),
    ]
    for part in disk.partitions:
        assert part.partuuid is not None
        assert part.partuuid == blkid(part.path, "PART_ENTRY_UUID")
        assert part.parttype == blkid(part.path, "PART_ENTRY_TYPE")
        assert (part.fstype, part.uuid) == (blkid(part.path, "TYPE"), blkid(part.path, "UUID"))
        assert os.stat(part.path).st_rdev == os.makedev(*map(int, part.devno.split(":")))
    assert [part.label for part in disk.partitions] == [None, "a label"]
    assert disk.partitions[1].fstype == "ext4"


def test_gpt_with_sectors_of_4096_bytes(cleanup: ExitStack) -> None:
    device = cleanup.enter_context(LoopDevice(64 * MIB, sector=4096))
    identifier = new_identifier("gpt")
    script = "label: gpt\nlabel-id: %s\nstart=256, size=1000\nstart=2048, size=8000\n" % identifier
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", device.path, stdin=script)
    run("partx", "-a", device.path)
    disk = observed(device)
    assert (disk.logical_sector, disk.table, disk.ptuuid) == (4096, "gpt", identifier)
    assert [(part.start, part.size) for part in disk.partitions] == [
        (256 * 4096, 1000 * 4096),
        (2048 * 4096, 8000 * 4096),
    ]


def test_second_gpt_header_where_the_first_is_gone(cleanup: ExitStack) -> None:
    identifier = new_identifier("gpt")
    device = cleanup.enter_context(PartitionedDisk(identifier, SIZES, "gpt"))
    with open(device.path, "r+b") as file:
        file.seek(SECTOR)
        file.write(bytes(SECTOR))
        file.flush()
        os.fsync(file.fileno())
    assert (observed(device).table, observed(device).ptuuid) == ("gpt", identifier)


def test_a_partition_of_which_nothing_is_known_hides_no_other(cleanup: ExitStack) -> None:
    disks = [cleanup.enter_context(PartitionedDisk(new_identifier(), SIZES)) for _turn in range(3)]
    run("dd", "if=/dev/zero", "of=" + disks[1].path, "bs=1M", "count=1", "conv=fsync", "status=none")
    found = [observed(disk) for disk in disks]
    assert [disk.ptuuid for disk in found] == [disks[0].identifier, None, disks[2].identifier]
    assert [[bool(part.partuuid) for part in disk.partitions] for disk in found] == [
        [True] * 2,
        [False] * 2,
        [True] * 2,
    ]


@pytest.mark.needs("mkfs.vfat")
def test_file_system_on_the_whole_disk_is_no_table(cleanup: ExitStack) -> None:
    device = cleanup.enter_context(LoopDevice(16 * MIB))
    run("mkfs.vfat", device.path)
    assert (observed(device).table, observed(device).ptuuid) == (None, None)


def test_mounts_with_blanks_subdirectories_and_read_only(
    disk: PartitionedDisk, mount: Callable[..., Path], tmp_path: Path
) -> None:
    run("mkfs.ext4", "-q", disk.partition(2))
    whole = mount(disk.partition(2), "with two  blanks\tand a tab")
    (whole / "sub directory").mkdir()
    bound = mount(str(whole / "sub directory"), "bound", "--bind")
    run("mount", "-o", "remount,bind,ro", str(bound))
    found = observed_partition(disk, 2)
    assert [(item.mountpoint, item.root, item.read_only) for item in found.mounts] == [
        (str(whole), "/", False),
        (str(bound), "/sub directory", True),
    ]
    assert observed_partition(disk, 1).mounts == ()
    assert observed(disk).mounts == ()


def test_loop_device_over_a_file_on_a_partition(
    disk: PartitionedDisk, mount: Callable[..., Path], cleanup: ExitStack
) -> None:
    run("mkfs.ext4", "-q", disk.partition(2))
    directory = mount(disk.partition(2), "outer directory")
    inner = cleanup.enter_context(LoopDevice(8 * MIB, directory, name="inner file"))
    run("mkfs.ext4", "-q", inner.path)
    inside = mount(inner.path, "inside")
    machine = observe()
    assert sorted(machine.disks_under(inner.devno)) == sorted((inner.devno, disk.devno))
    (holder,) = observed_partition(disk, 2).holders
    assert (holder.path, holder.kind, holder.devno) == (inner.path, "loop", inner.devno)
    assert [item.mountpoint for item in holder.mounts] == [str(inside)]
    assert observed_partition(disk, 1).holders == ()
    assert observed(inner).backing_file == str(inner.file)


def test_loop_device_over_a_partition(disk: PartitionedDisk, cleanup: ExitStack) -> None:
    path = run("losetup", "-f", "--show", "--read-only", disk.partition(1)).strip()
    cleanup.callback(run, "losetup", "-d", path)
    (holder,) = observed_partition(disk, 1).holders
    assert (holder.path, holder.kind) == (path, "loop")


@pytest.mark.needs("mkswap", "swapon")
def test_swap_on_a_partition_and_in_a_file(
    disk: PartitionedDisk, mount: Callable[..., Path], cleanup: ExitStack
) -> None:
    run("mkfs.ext4", "-q", disk.partition(2))
    file = mount(disk.partition(2), "with swap") / "swap file"
    file.write_bytes(bytes(4 * MIB))
    file.chmod(0o600)
    for path in (disk.partition(1), str(file)):
        run("mkswap", path)
        run("swapon", path)
        cleanup.callback(run, "swapoff", path)
    machine = observe()
    found = next(item for item in machine.disks if item.devno == disk.devno)
    assert [part.swap for part in found.partitions] == [True, False]
    assert found.partitions[0].fstype == "swap"
    assert str(file) in machine.swap_files


@pytest.mark.needs("mkfs.btrfs")
@pytest.mark.skipif(not os.path.isdir("/sys/fs/btrfs"), reason="the kernel has no btrfs")
def test_btrfs_on_two_disks(cleanup: ExitStack, mount: Callable[..., Path]) -> None:
    size = 150 * MIB // SECTOR
    disks = [cleanup.enter_context(PartitionedDisk(new_identifier(), [size])) for _turn in range(2)]
    paths = [disk.partition(1) for disk in disks]
    run("mkfs.btrfs", "--quiet", "--data", "raid1", "--metadata", "raid1", *paths)
    run("btrfs", "device", "scan", *paths)
    directory = mount(paths[0], "btrfs")
    run("btrfs", "subvolume", "create", str(directory / "sub"))
    inner = cleanup.enter_context(LoopDevice(4 * MIB, directory / "sub"))
    machine = observe()
    for disk in disks:
        assert [item.mountpoint for item in observed_partition(disk, 1).mounts] == [str(directory)]
        assert [item.path for item in observed_partition(disk, 1).holders] == [inner.path]
    (used,) = (item for item in machine.mounts if item.mountpoint == str(directory))
    both = {disk.devno for disk in disks}
    assert set(machine.disks_under(used.devno)) == both
    assert set(machine.disks_under(inner.devno)) == both | {inner.devno}


def test_read_only_disk(disk: PartitionedDisk) -> None:
    run("blockdev", "--setro", disk.path)
    assert observed(disk).read_only
    run("blockdev", "--setrw", disk.path)
    assert not observed(disk).read_only


def test_loop_devices_without_a_file_are_no_disks() -> None:
    machine = observe()
    unused = [path for path in Path("/sys/class/block").glob("loop*") if not (path / "loop").exists()]
    assert not {path.name for path in unused} & {disk.name for disk in machine.disks}


def test_devices_come_and_go_meanwhile(disk: PartitionedDisk) -> None:
    stop = threading.Event()

    def plug_and_unplug() -> None:
        while not stop.is_set():
            PartitionedDisk(new_identifier(), SIZES).close()

    other = threading.Thread(target=plug_and_unplug)
    other.start()
    try:
        for _turn in range(30):
            assert len(observed(disk).partitions) == 2
    finally:
        stop.set()
        other.join()


@pytest.mark.needs("strace")
def test_nothing_is_opened_for_writing(disk: PartitionedDisk, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = "from blksync.discovery import observe as discovery; print(len(discovery.observe().disks))"
    command = ["strace", "-f", "-e", "trace=open,openat,creat,unlink,unlinkat,mkdir,mkdirat", "-o", str(trace)]
    environment = {**os.environ, "PYTHONPATH": "plugins/module_utils", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*command, sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, check=True)
    lines = trace.read_text().splitlines()
    assert any(disk.path in line for line in lines)
    suspicious = [
        line
        for line in lines
        if any(word in line for word in ("O_WRONLY", "O_RDWR", "O_CREAT", "creat(", "mkdir", "unlink"))
    ]
    assert [line for line in suspicious if '"/dev/null"' not in line] == []
