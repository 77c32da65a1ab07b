# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random ways to copy a mounted pair of disks, and random writers past its file systems."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import random
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blksync.options import SyncRequest
from blksync.sync.pair import PairCopy
from tests.support.blocksync_program import PROGRAM
from tests.support.disks import MIB, SECTOR, run
from tests.support.mixed_writer import MixedWriter
from tests.support.mounted import MountedPair

FS_MIB, TAIL = 47, MIB  # the file system ends before its partition does: there, writers disturb nothing
SIZES = (8 * MIB // SECTOR, (FS_MIB * MIB + TAIL) // SECTOR, 32 * MIB // SECTOR)
BLKDISCARD = 0x1277  # linux/fs.h


def _mkfs(command: str) -> tuple[str, ...]:
    return ("sh", "-c", command.format(size=FS_MIB), "mkfs")


# mkfs.xfs makes none below 300 MiB, but for its own tests, which it knows by these variables.
XFS = "TEST_DIR=/ TEST_DEV=/ QA_CHECK_FS=1 mkfs.xfs -q -f -d size={size}m $1"
KINDS = {
    "ext4-1k": (_mkfs("mkfs.ext4 -q -b 1024 $1 {size}M"), "defaults"),
    "ext4-2k": (_mkfs("mkfs.ext4 -q -b 2048 $1 {size}M"), "defaults"),
    "ext4-4k": (_mkfs("mkfs.ext4 -q -b 4096 $1 {size}M"), "defaults"),
    "ext4-discard": (_mkfs("mkfs.ext4 -q -b 4096 $1 {size}M"), "discard"),
    "xfs": (_mkfs(XFS), "defaults"),
    "btrfs": (_mkfs("mkfs.btrfs -q -f -m single -d single -b {size}M $1"), "defaults"),
}
FROZEN, UNMOUNTED, LIVE, IDLE, READ_ONLY = "frozen", "unmounted", "live", "idle", "read-only"
WAYS = (FROZEN, FROZEN, UNMOUNTED, LIVE, LIVE, LIVE, IDLE, READ_ONLY)
PARTITION, DISK, REMOUNT, DISCARD = "partition", "disk", "remount", "discard"


@dataclass(frozen=True)
class Case:
    """One copy: ``way`` is how partition 2 is held, ``load`` the bytes a second that are written to ``loaded``."""

    name: str
    way: str
    partitions: tuple[int, ...]
    scope: str
    engine: str
    quiesce: str
    load: int
    loaded: str
    rubbish: bool

    def request(self, pair: MountedPair) -> SyncRequest:
        """What the sync is asked for."""
        return SyncRequest(
            pair.source.identifier,
            pair.target.identifier,
            partitions=self.partitions,
            quiesce=self.quiesce,
            engine=self.engine,
            scope=self.scope,
        )


def draw(name: str) -> Case:
    """The case of that name, always the same."""
    chance = random.Random(name)
    way = chance.choice(WAYS)
    quiesce = {FROZEN: "freeze", UNMOUNTED: "freeze", LIVE: "live"}.get(way) or chance.choice(("auto", "none"))
    partitions = chance.choice(((2,), (1, 2))) if quiesce != "none" else (2,)
    scope = chance.choice(("all", "all", "used"))
    program = PROGRAM and scope == "all" and chance.random() < 0.1
    load = chance.choice((0, 2 * MIB, 8 * MIB, 20 * MIB))
    loaded = chance.choice(("root", "root", "neighbour")) if way in (FROZEN, LIVE) else "neighbour"
    rubbish = scope == "used" or chance.random() < 0.1
    engine = "blocksync_fast" if program else "native"
    return Case(name, way, partitions, scope, engine, quiesce, load, loaded, rubbish)


@contextlib.contextmanager
def held(pair: MountedPair, case: Case, options: str) -> Iterator[None]:
    """The source's second partition is as the case has it, and the load is on."""
    with contextlib.ExitStack() as stack:
        if case.rubbish:
            fill_with_rubbish(pair.target.partition(2))
        if case.way == IDLE:
            run("umount", str(pair.root))
            stack.callback(run, "mount", "-o", options, pair.source.partition(2), str(pair.root))
        if case.way == READ_ONLY:
            run("mount", "-o", "remount,ro", str(pair.root))
            stack.callback(run, "mount", "-o", "remount,rw", str(pair.root))
        if case.load:
            directory = pair.root if case.loaded == "root" else pair.directory / "neighbour"
            stack.enter_context(MixedWriter(directory, random.Random(case.name).getrandbits(30), case.load))
        yield


def fill_with_rubbish(path: str) -> None:
    """Random bytes all over a device."""
    rubbish = os.urandom(MIB)
    with open(path, "r+b", buffering=0) as file:
        left = file.seek(0, os.SEEK_END)
        file.seek(0)
        while left:
            left -= file.write(rubbish[:left])
        os.fsync(file.fileno())


class HiddenWriter:
    """Writes to a partition that the case copies past everything that holds it, while it is quiesced to be read.

    ``early``: before the last pass rather than after it. A live copy has the writer all along as well.
    """

    def __init__(self, pair: MountedPair, case: Case) -> None:
        chance = random.Random("writer " + case.name)
        ways = [PARTITION, PARTITION, DISK, DISK]
        ways += [REMOUNT] if case.way == READ_ONLY else []
        ways += [DISCARD] if case.way in (UNMOUNTED, IDLE, READ_ONLY) else []
        self.way = chance.choice(ways)
        self.number = 2 if self.way == REMOUNT else chance.choice(case.partitions)
        self.early = case.way != LIVE and chance.random() < 0.5
        self.acted = 0
        self._pair, self._live = pair, case.way == LIVE
        self._last = case.partitions[-1]

    def __str__(self) -> str:
        return "writer by %s to partition %d%s" % (self.way, self.number, ", early" if self.early else "")

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Act once at the last moment."""
        copy, changes = PairCopy.copy, PairCopy.changes

        def copied(pair_copy: PairCopy, *arguments: Any, **named: Any) -> None:
            if self.early and not self.acted and pair_copy.pair.number == self._last:
                self.act()
            copy(pair_copy, *arguments, **named)

        def changed(pair_copy: PairCopy, recorder: Any) -> Any:
            if not self.acted:
                self.act()
            return changes(pair_copy, recorder)

        patch.setattr(PairCopy, "copy", copied)
        patch.setattr(PairCopy, "changes", changed)

    def act(self) -> None:
        """Once, at the last moment."""
        self.acted += 1
        self.write()

    def write(self) -> None:
        """New bytes, where no file system has any."""
        # The first 1024 bytes of ext2 are nobody's; the other file systems end before their partition does.
        place = 0 if self.number == 1 else FS_MIB * MIB + 4096
        path = self._pair.source.partition(self.number)
        if self.way == REMOUNT:
            remount_and_write(self._pair.root)
        elif self.way == DISCARD:
            discard(path, place, 512 if self.number == 1 else 4096)
        elif self.way == DISK:
            raw_write(self._pair.source.path, start_of(path) + place)
        else:
            raw_write(path, place)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """It goes on and on beside a live copy, through the last moment."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.002):
                self.write()

        thread = threading.Thread(target=work)
        if self._live:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            if self._live:
                thread.join()


def raw_write(path: str, place: int) -> None:
    """A sector, past every cache."""
    data = mmap.mmap(-1, 4096)
    data[:SECTOR] = os.urandom(SECTOR)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    try:
        os.pwritev(fd, [memoryview(data)[:SECTOR]], place)
    finally:
        os.close(fd)


def discard(path: str, place: int, length: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", place, length))
    finally:
        os.close(fd)


def remount_and_write(directory: Path) -> None:
    """As some package managers do; it is read-only again when the copy ends."""
    run("mount", "-o", "remount,rw", str(directory))
    (directory / "upgraded").write_bytes(os.urandom(MIB))
    run("mount", "-o", "remount,ro", str(directory))


def start_of(partition: str) -> int:
    """Where it begins on its disk, in bytes."""
    return int(Path("/sys/class/block", partition.rpartition("/")[2], "start").read_text()) * SECTOR
