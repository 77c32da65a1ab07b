# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that were members of something else: after a copy of the used blocks they are only what the source is.

Neither zpool nor mdadm is needed: their signatures are put where they lie (libblkid/src/superblocks/zfs.c and
linux_raid.c of util-linux), and blkid has to recognise them.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.errors import VerificationError
from blksync.options import SyncRequest
from blksync.sync import disk_sync
from blksync.sync.result import SyncReport
from blksync.used_blocks import ranges
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.used_copy import check_ext, mounted

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "blkid")
SOURCE, TARGET = identifiers()
SIZE = 96 * MIB
KIB = 1024


def zfs() -> dict[int, bytes]:
    """The labels' uberblocks, each in 1 KiB."""
    labels = (0, 256 * KIB, SIZE - 512 * KIB, SIZE - 256 * KIB)
    uberblock = struct.pack("<QQQQQ", 0x00BAB10C, 5000, 7, 8, 9)
    return {label + 128 * KIB + index * KIB: uberblock for label in labels for index in range(128)}


def mdraid(at: int, version: int) -> dict[int, bytes]:
    """A superblock of version 1: magic, version, the set's UUID, its name, and its own place in sectors."""
    block = bytearray(4 * KIB)
    struct.pack_into("<II8x16s32s", block, 0, 0xA92B4EFC, version, os.urandom(16), b"host:0")
    struct.pack_into("<Q", block, 144, at // SECTOR)
    return {at: bytes(block)}


def mdraid_090() -> dict[int, bytes]:
    at = SIZE // (64 * KIB) * (64 * KIB) - 64 * KIB
    return {at: struct.pack("<IIIIIIIII", 0xA92B4EFC, 0, 90, 0, 0, 1, 2, 3, 4).ljust(4 * KIB, b"\0")}


FORMER = {
    "zfs_member": zfs(),
    "mdraid 1.0": mdraid((SIZE // SECTOR - 16) // 8 * 8 * SECTOR, 1),
    "mdraid 0.90": mdraid_090(),
}


def put(path: str, signatures: dict[int, bytes]) -> None:
    with open(path, "r+b") as file:
        for offset, data in signatures.items():
            file.seek(offset)
            file.write(data)
        os.fsync(file.fileno())
    run("blockdev", "--flushbufs", path)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A mounted ext4, and its target."""
    sizes = (SIZE // SECTOR,)
    with PartitionedDisk(SOURCE, sizes) as source, PartitionedDisk(TARGET, sizes, gap=4096) as target:
        run("mkfs.ext4", "-q", source.partition(1))
        with mounted(source.partition(1), tmp_path):
            (tmp_path / "file").write_bytes(os.urandom(MIB))
            yield source.partition(1), target.partition(1)


def copy(scope: str = "used") -> SyncReport:
    request = SyncRequest(SOURCE, TARGET, partitions=(1,), engine="native", quiesce="freeze", scope=scope)
    return disk_sync.run(request)


def recognised(path: str) -> tuple[int, str]:
    argv = ["blkid", "-p", "-o", "value", "-s", "TYPE", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("former", FORMER)
def test_the_old_signatures_are_gone(disks: tuple[str, str], former: str) -> None:
    put(disks[1], FORMER[former])
    assert recognised(disks[1]) == (0, "zfs_member" if former == "zfs_member" else "linux_raid_member")
    assert copy().pairs[0].bytes_skipped > SIZE // 4
    assert recognised(disks[1]) == (0, "ext4")
    check_ext(disks[1])


@pytest.mark.parametrize("former", FORMER)
def test_a_signature_that_is_left_fails_the_run(
    disks: tuple[str, str], former: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a signature in a place that is not known as one."""
    monkeypatch.setattr(ranges, "EDGE", 0)
    put(disks[1], FORMER[former])
    with pytest.raises(VerificationError, match="its source %s as TYPE ext4" % disks[0]) as caught:
        copy()
    assert recognised(disks[1]) != (0, "ext4")
    assert caught.value.report is not None
    assert not caught.value.report.as_dict()["partitions"][0]["complete"]
    assert copy(scope="all").pairs[0].complete
    assert recognised(disks[1]) == (0, "ext4")


def test_without_blkid_the_result_says_so(disks: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from blksync.superblocks import identity

    monkeypatch.setattr(identity, "probe", lambda _device: None)
    (entry,) = copy().pairs
    assert entry.complete
    assert ["could not be checked" in note for note in entry.notes] == [True]
