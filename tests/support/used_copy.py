# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy what a mounted file system uses, frozen, onto rubbish, and find out whether the copy is the same."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from blksync.discovery.model import Partition
from blksync.discovery.observe import observe
from blksync.engines.base import CopyOptions
from blksync.engines.monitor import Monitor
from blksync.engines.native.engine import NativeEngine
from blksync.ranges import Range
from blksync.system.device import claim_target, open_source
from blksync.used_blocks import getfsmap
from blksync.used_blocks.ranges import UsedBlocks
from blksync.used_blocks.reader import UsedMap

from .disks import MIB, PartitionedDisk, run
from .mounted import freeze, thaw, wait_for
from .pairs import noise

BLOCK = 4096
Change = Callable[[tuple[Range, ...]], Sequence[Range]]


class Pair:
    """Two disks with one partition of the same size each."""

    def __init__(self, source: PartitionedDisk, target: PartitionedDisk, directory: Path) -> None:
        self.source, self.target = source.partition(1), target.partition(1)
        self.disk = source
        self.directory, self.copy = directory / "source", directory / "copy"

    def mkfs(self, kind: str, options: str, *more: str) -> None:
        """Make the source's file system, and the target rubbish; skip the test where mkfs does not know the options."""
        made = subprocess.run(
            ["mkfs." + kind, "-q", *options.split(), self.source, *more], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip("this mkfs.%s does not make it: %s" % (kind, made.stderr.strip().splitlines()[0]))
        fill_with_rubbish(self.target)


def observed(disk: PartitionedDisk, number: int = 1) -> Partition:
    """What discovery says of a partition now."""
    found = next(found for found in observe().disks if found.devno == disk.devno).partition(number)
    assert found is not None
    return found


@contextmanager
def mounted(device: str, directory: Path, options: str = "defaults", may_lack: bool = False) -> Iterator[Path]:
    """Mount it there. ``may_lack``: skip the test where this kernel does not know what the file system needs."""
    directory.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", options, device, str(directory)], capture_output=True, text=True, check=False)
    if done.returncode and may_lack:
        pytest.skip("this kernel does not mount it: %s" % done.stderr.strip().splitlines()[0])
    assert not done.returncode, done.stderr
    try:
        yield directory
    finally:
        thaw(directory)
        # The guardian of a sync ends by itself, perhaps a moment after it.
        wait_for(lambda: not subprocess.run(["umount", str(directory)], capture_output=True, check=False).returncode)


def fill_with_rubbish(path: str) -> None:
    """Write random bytes all over a device."""
    rubbish = noise(MIB, seed=666)
    with open(path, "r+b") as file:
        left = file.seek(0, os.SEEK_END)
        file.seek(0)
        while left:
            left -= file.write(rubbish[:left])
        os.fsync(file.fileno())
    run("blockdev", "--flushbufs", path)


def copy_used(partition: Partition, target: str, directory: Path, change: Change = list) -> UsedBlocks:
    """Sync, freeze, copy what the map says, thaw. ``change`` may leave some of the ranges out."""
    with UsedMap(partition) as used_map:
        os.sync()
        freeze(directory)
        try:
            used = used_map.read(BLOCK)
            with open_source(partition.path) as source, claim_target(target) as device:
                source.drop_cache()
                NativeEngine().copy(source, device, change(used.ranges), Monitor(), CopyOptions())
        finally:
            thaw(directory)
    run("blockdev", "--flushbufs", target)
    return used


def assert_same_map_page_by_page(partition: Partition, directory: Path) -> list[range]:
    """Fail unless the kernel reports the same free extents however many records it is asked for at a time.

    Returns the bytes that each record speaks of.
    """
    fd = os.open(directory, os.O_RDONLY)
    os.sync()
    freeze(directory)
    try:

        def ask(buffer: bytearray) -> None:
            fcntl.ioctl(fd, getfsmap.FS_IOC_GETFSMAP, buffer, True)

        device = getfsmap.encode(partition.devno)
        maps = [getfsmap.parse_free(getfsmap.pages(ask, count), device, partition.size, 0) for count in (8192, 1, 2, 7)]
        records = [struct.unpack("=8xQ16xQ24x", page) for page in getfsmap.pages(ask, 1)]
    finally:
        thaw(directory)
        os.close(fd)
    assert all(found == maps[0] for found in maps[1:])
    return [range(start, start + length) for start, length in records]


def check_ext(path: str) -> None:
    """Fail unless fsck finds nothing at all to do."""
    run("e2fsck", "-fn", path)


def check_xfs(path: str) -> None:
    """Fail unless it is whole; its log was played back by a mount before."""
    run("xfs_repair", "-n", path)
