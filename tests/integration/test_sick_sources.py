# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that would eat a good backup: recorded errors, parts on other devices, sectors that do not fit."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import DeviceReadError, RefusedError
from blksync.options import ImageRequest, SyncRequest
from blksync.sync import disk_sync, image_sync
from blksync.sync.result import SyncReport
from tests.support.disks import MIB, SECTOR, LoopDevice, PartitionedDisk, identifiers, run
from tests.support.used_copy import mounted

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "debugfs", "e2fsck")
SOURCE, TARGET = identifiers()
OTHER = "1" + SOURCE[1:]
SIZE, XFS, BTRFS = 16 * MIB, 320 * MIB, 128 * MIB


@pytest.fixture
def disks(request: pytest.FixtureRequest) -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    sizes = (getattr(request, "param", SIZE) // SECTOR,)
    with PartitionedDisk(SOURCE, sizes) as source, PartitionedDisk(TARGET, sizes, gap=4096) as target:
        yield source, target


def copy(**options: Any) -> SyncReport:
    return disk_sync.run(SyncRequest(SOURCE, TARGET, **{"partitions": (1,), "engine": "native", **options}))


def refused(**options: Any) -> dict[str, str]:
    """Each refusal's code and message, and that nothing was written."""
    with pytest.raises(RefusedError) as caught:
        copy(**options)
    return {refusal.code: str(refusal) for refusal in caught.value.refusals}


def patch(path: str, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
    run("blockdev", "--flushbufs", path)


def test_recorded_errors_of_ext4_keep_the_backup(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    source, target = (disk.partition(1) for disk in disks)
    run("mkfs.ext4", "-q", source)
    assert copy().changed
    run("debugfs", "-w", "-R", "set_super_value state 3", source)
    written = disks[1].bytes_written()
    for check in (True, False):
        found = refused(check=check)
        assert set(found) == {"source_damaged"}
        assert "ext4 on %s has recorded errors" % source in found["source_damaged"]
        assert "e2fsck -f %s" % source in found["source_damaged"]
    assert disks[1].bytes_written() == written
    report = copy(allow_damaged_source=True)
    assert report.changed
    assert ["has recorded errors" in warning for warning in report.warnings] == [True]
    run("e2fsck", "-fy", source)
    assert copy().warnings == []
    run("e2fsck", "-fn", target)


def test_errors_that_the_kernel_meets_while_it_is_mounted(
    disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path
) -> None:
    source = disks[0].partition(1)
    run("mkfs.ext4", "-q", source)
    with mounted(source, tmp_path, "errors=continue"):
        assert copy(quiesce="freeze").changed
        Path("/sys/fs/ext4", os.path.basename(source), "trigger_fs_error").write_text("blksync-test")
        # The superblock is written some time later.
        assert re.search("count(s|ed) 1[.,]", refused(quiesce="freeze")["source_damaged"])


@pytest.mark.parametrize("disks", [BTRFS], indirect=True, ids=[""])
@pytest.mark.needs("mkfs.btrfs")
def test_checksum_errors_of_a_mounted_btrfs(disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path) -> None:
    source = disks[0].partition(1)
    run("mkfs.btrfs", "-q", "-d", "single", source)
    mark = b"a block of a file that is about to be damaged".ljust(4096, b".") * 16
    with mounted(source, tmp_path, may_lack=True) as directory:
        (directory / "file").write_bytes(mark)
        os.sync()
    run("blockdev", "--flushbufs", source)
    patch(source, Path(source).read_bytes().index(mark[:4096]), b"rubbish")
    with mounted(source, tmp_path) as directory:
        assert copy(quiesce="freeze").changed
        with pytest.raises(OSError, match="Input/output"):
            (directory / "file").read_bytes()
        assert "the kernel has counted corruption_errs" in refused(quiesce="freeze")["source_damaged"]


@pytest.mark.needs("mkfs.vfat")
def test_a_fat_with_its_error_bit_set(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    source = disks[0].partition(1)
    run("mkfs.vfat", "-F", "16", source)
    patch(source, 0x25, b"\1")
    assert ["was not unmounted" in warning for warning in copy().warnings] == [True]
    patch(source, 0x25, b"\3")
    assert "the boot sector" in refused()["source_damaged"].replace("its", "the")


@pytest.mark.parametrize("disks", [XFS], indirect=True, ids=[""])
@pytest.mark.needs("mkfs.xfs")
def test_an_xfs_in_need_of_repair(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    source = disks[0].partition(1)
    run("mkfs.xfs", "-q", source)
    assert refused_codes() == set()
    with open(source, "rb") as file:
        (features,) = struct.unpack(">I", os.pread(file.fileno(), 4, 216))
    patch(source, 216, struct.pack(">I", features | 1 << 4))
    assert "xfs_repair %s" % source in refused(check=True)["source_damaged"]


def refused_codes() -> set[str]:
    try:
        copy(check=True)
    except RefusedError as error:
        return {refusal.code for refusal in error.refusals}
    return set()


def test_an_image_of_a_damaged_file_system(disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path) -> None:
    source, target = disks[0].partition(1), tmp_path / "image"
    run("mkfs.ext4", "-q", source)
    run("debugfs", "-w", "-R", "set_super_value error_count 2", source)
    request: dict[str, Any] = {"source": source, "target": str(target), "create": True}
    with pytest.raises(RefusedError, match="counts 2"):
        image_sync.run(ImageRequest(**request))
    assert not target.exists()
    assert image_sync.run(ImageRequest(**request, allow_damaged_source=True)).created
    with pytest.raises(RefusedError, match="counts 2"):  # an image file as the source
        image_sync.run(ImageRequest(source=str(target), target=source))


@pytest.mark.timeout(30)
def test_a_pipe_is_not_looked_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RefusedError, match="neither a block device nor a regular file"):
        image_sync.run(ImageRequest(source=str(tmp_path / "pipe"), target=str(tmp_path / "image"), create=True))


def test_an_ext4_with_its_journal_elsewhere(disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path) -> None:
    source = disks[0].partition(1)
    with PartitionedDisk(OTHER, (8 * MIB // SECTOR,)) as other:
        journal = other.partition(1)
        run("mkfs.ext4", "-q", "-b", "4096", "-O", "journal_dev", journal)
        run("mkfs.ext4", "-q", "-b", "4096", "-J", "device=%s" % journal, source)
        assert "its journal" in refused()["source_spans_devices"]
        with mounted(source, tmp_path):
            assert "its journal" in refused(quiesce="freeze")["source_spans_devices"]
        with LoopDevice(8 * MIB) as target, pytest.raises(RefusedError, match="is the journal of a file system"):
            image_sync.run(ImageRequest(source=journal, target=target.path))


@pytest.mark.parametrize("disks", [XFS], indirect=True, ids=[""])
@pytest.mark.needs("mkfs.xfs")
@pytest.mark.parametrize(("option", "part"), [("-l", "log"), ("-r", "realtime section")])
def test_an_xfs_with_a_part_elsewhere(
    disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path, option: str, part: str
) -> None:
    source, name = disks[0].partition(1), {"-l": "logdev", "-r": "rtdev"}[option]
    with PartitionedDisk(OTHER, (80 * MIB // SECTOR,)) as other:
        place = "%s=%s" % (name, other.partition(1))
        run("mkfs.xfs", "-q", *(["-m", "reflink=0,rmapbt=0"] if option == "-r" else []), option, place, source)
        assert "has its %s on another device" % part in refused()["source_spans_devices"]
        with mounted(source, tmp_path, place, may_lack=True):
            assert "has its %s on another device" % part in refused(quiesce="freeze")["source_spans_devices"]


@pytest.mark.parametrize("disks", [BTRFS], indirect=True, ids=[""])
@pytest.mark.needs("mkfs.btrfs")
def test_an_unmounted_btrfs_on_two_devices(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    with PartitionedDisk(OTHER, (BTRFS // SECTOR,)) as other:
        run("mkfs.btrfs", "-q", disks[0].partition(1), other.partition(1))
        assert "lies on 2 devices" in refused()["source_spans_devices"]


MAKE = {
    "ext4 of 1 KiB blocks": ("mkfs.ext4", "-q", "-b", "1024"),
    "ext4 of 4 KiB blocks": ("mkfs.ext4", "-q", "-b", "4096"),
    "FAT of 512 bytes": ("mkfs.vfat", "-S", "512"),
    "FAT of 4096 bytes": ("mkfs.vfat", "-S", "4096"),
    "swap": ("mkswap",),
    "nothing": ("true",),
}
SECTORS = [
    ("ext4 of 1 KiB blocks", 512, 4096, False),
    ("ext4 of 4 KiB blocks", 512, 4096, True),
    ("ext4 of 4 KiB blocks", 4096, 512, True),
    ("FAT of 512 bytes", 512, 4096, False),
    ("FAT of 4096 bytes", 512, 4096, True),
    ("FAT of 4096 bytes", 4096, 512, True),
    ("swap", 512, 4096, True),
    ("nothing", 512, 4096, False),
    ("nothing", 4096, 512, False),
    ("nothing", 4096, 4096, True),
]


@pytest.mark.needs("mkfs.vfat", "mkswap")
@pytest.mark.parametrize(("content", "ours", "theirs", "works"), SECTORS)
def test_logical_sectors(content: str, ours: int, theirs: int, works: bool, tmp_path: Path) -> None:
    sizes = (SIZE // SECTOR,)
    with (
        PartitionedDisk(SOURCE, sizes, sector=ours) as source,
        PartitionedDisk(TARGET, sizes, gap=4096, sector=theirs) as target,
    ):
        run(*MAKE[content], source.partition(1))
        if not works:
            message = refused(check=True)["sector_size_differs"]
            assert "%s has logical sectors of %d bytes" % (target.partition(1), theirs) in message
            assert "%s of %d bytes" % (source.partition(1), ours) in message
            return
        report = copy()
        assert any("firmware" in warning for warning in report.warnings) == (
            content == "FAT of 4096 bytes" and theirs == 512
        )
        if "ext4" in content:
            with mounted(target.partition(1), tmp_path):
                pass


@pytest.mark.needs("mkfs.xfs")
@pytest.mark.parametrize(("sector", "works"), [(512, False), (4096, True)])
def test_logical_sectors_of_xfs(sector: int, works: bool, tmp_path: Path) -> None:
    sizes = (XFS // SECTOR,)
    with PartitionedDisk(SOURCE, sizes) as source, PartitionedDisk(TARGET, sizes, sector=4096) as target:
        run("mkfs.xfs", "-q", "-s", "size=%d" % sector, source.partition(1))
        if not works:
            assert "made for sectors of 512 bytes" in refused(check=True)["sector_size_differs"]
            return
        copy()
        with mounted(target.partition(1), tmp_path, may_lack=True):
            pass


def test_an_image_of_a_disk_needs_the_sectors_of_its_table(tmp_path: Path) -> None:
    target = tmp_path / "image"
    guid = "6f9619ff-8b86-d011-b42d-%012x" % os.getpid()
    with PartitionedDisk(guid, (2 * MIB // SECTOR,), "gpt", sector=4096) as disk, ExitStack() as stack:
        assert image_sync.run(ImageRequest(source=disk.path, target=str(target), create=True)).created
        assert image_sync.run(ImageRequest(source=str(target), target=disk.path, check=True)).changed is False
        other = stack.enter_context(LoopDevice(disk.size))
        with pytest.raises(RefusedError, match="gpt on it is made for sectors of 4096 bytes"):
            image_sync.run(ImageRequest(source=str(target), target=other.path))


@pytest.mark.parametrize(("changed", "sentence"), [(True, "now holds"), (False, "may hold")])
def test_a_read_error_says_what_the_target_holds(
    disks: tuple[PartitionedDisk, PartitionedDisk], changed: bool, sentence: str
) -> None:
    source = disks[0]
    copy()
    start = int(Path("/sys/class/block", os.path.basename(source.partition(1)), "start").read_text()) * SECTOR
    if changed:
        patch(source.partition(1), 4096, os.urandom(4096))
    os.truncate(source.file, start + SIZE - MIB)
    with pytest.raises(DeviceReadError) as caught:
        copy()
    assert "The target %s neither the old nor the new state of partition 1" % sentence in caught.value.hint
    assert "ddrescue" in caught.value.hint
    assert caught.value.report is not None
    assert not caught.value.report.as_dict()["partitions"][0]["complete"]


def test_a_read_error_in_check_mode_has_written_nothing(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    start = int(Path("/sys/class/block", os.path.basename(disks[0].partition(1)), "start").read_text()) * SECTOR
    os.truncate(disks[0].file, start + SIZE - MIB)
    with pytest.raises(DeviceReadError) as caught:
        copy(check=True)
    assert "Nothing was written to partition 1 of the target" in caught.value.hint
