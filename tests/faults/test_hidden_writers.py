# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody writes to a source past everything that makes it hold still: no way of copying takes that for success."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blksync.errors import QuiesceError
from blksync.options import ImageRequest, SyncRequest
from blksync.quiesce.plan import steps_for
from blksync.sync import disk_plan, disk_sync, image_sync
from blksync.sync.monitor import Progress
from blksync.sync.plan import Pair
from tests.support import tracefs
from tests.support.disks import MIB, SECTOR, run
from tests.support.frozen_truth import FrozenTruth, hashes
from tests.support.mounted import UNFREEZABLE, MountedPair

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")

SIZES = (8 * MIB // SECTOR, 32 * MIB // SECTOR)


class Once(Progress):
    """Does something as soon as partition ``number`` has been compared in part."""

    def __init__(self, act: Callable[[], None], number: int = 2) -> None:
        self._acts = [act]
        self._number = number

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        """See Progress."""
        while self._acts and pair.number in (self._number, 0):
            self._acts.pop()()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path, SIZES) as pair:
        yield pair


@pytest.fixture
def _unmounting(monkeypatch: pytest.MonkeyPatch) -> None:
    """This kernel has no vfat: ext2 stands for what can only be unmounted."""
    monkeypatch.setattr(disk_plan, "steps_for", functools.partial(steps_for, unfreezable=UNFREEZABLE))


def raw_write(path: str, offset: int = 0) -> None:
    """What is there already: not a byte changes, but nobody who only counts can know that."""
    fd = os.open(path, os.O_RDWR | os.O_DSYNC)
    try:
        os.pwrite(fd, os.pread(fd, SECTOR, offset), offset)
    finally:
        os.close(fd)


def request(pair: MountedPair, *partitions: int, quiesce: str = "freeze") -> SyncRequest:
    disks = (pair.source.identifier, pair.target.identifier)
    return SyncRequest(*disks, partitions=partitions, quiesce=quiesce, engine="native")


def assert_refused(error: QuiesceError) -> None:
    """By the witness, and nothing is called complete."""
    assert error.kind == "quiesce"
    assert "written to while it was read" in str(error)
    assert error.report is not None
    assert not any(partition["complete"] for partition in error.report.as_dict()["partitions"])


def start(pair: MountedPair, number: int) -> int:
    """Where a partition begins on its disk, in bytes."""
    name = pair.source.partition(number).rpartition("/")[2]
    return int(Path("/sys/class/block", name, "start").read_text()) * SECTOR


def as_frozen(_pair: MountedPair) -> int:
    return 2


def as_unmounted(_pair: MountedPair) -> int:
    return 1


def as_read_only(pair: MountedPair) -> int:
    run("mount", "-o", "remount,ro", str(pair.root))
    return 2


def as_idle(pair: MountedPair) -> int:
    run("umount", str(pair.root))
    return 2


@pytest.mark.usefixtures("_unmounting")
@pytest.mark.parametrize("past", [False, True], ids=["partition", "whole-disk"])
@pytest.mark.parametrize("way", [as_frozen, as_unmounted, as_read_only, as_idle])
def test_a_raw_writer(pair: MountedPair, way: Callable[[MountedPair], int], past: bool) -> None:
    number = way(pair)
    path, offset = (pair.source.path, start(pair, number)) if past else (pair.source.partition(number), 0)
    before = pair.mounts()
    with pytest.raises(QuiesceError) as caught:
        disk_sync.run(request(pair, number), Once(lambda: raw_write(path, offset), number))
    assert_refused(caught.value)
    assert (pair.mounts(), pair.frozen()) == (before, [])
    assert disk_sync.run(request(pair, number)).pairs[0].complete


@pytest.mark.parametrize("idle", [False, True])
def test_a_raw_writer_where_nothing_is_quiesced(pair: MountedPair, idle: bool) -> None:
    (as_idle if idle else as_read_only)(pair)
    with pytest.raises(QuiesceError) as caught:
        disk_sync.run(request(pair, 2, quiesce="none"), Once(lambda: raw_write(pair.source.partition(2))))
    assert_refused(caught.value)


def test_a_write_to_the_first_source_while_the_second_is_read(pair: MountedPair) -> None:
    """All sources hold still until the last one has been read."""
    with pytest.raises(QuiesceError) as caught:
        disk_sync.run(request(pair, 1, 2), Once(lambda: raw_write(pair.source.partition(1))))
    assert_refused(caught.value)


def test_read_only_and_writable_in_between(pair: MountedPair) -> None:
    """As some package managers do; it is read-only again when the copy ends."""
    as_read_only(pair)

    def upgrade() -> None:
        run("mount", "-o", "remount,rw", str(pair.root))
        (pair.root / "upgraded").write_bytes(os.urandom(MIB))
        run("mount", "-o", "remount,ro", str(pair.root))

    with pytest.raises(QuiesceError) as caught:
        disk_sync.run(request(pair, 2), Once(upgrade))
    assert_refused(caught.value)


@contextmanager
def restless(path: str) -> Iterator[None]:
    """A thread that writes to one sector, again and again."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            raw_write(path)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.needs("tracefs")
@pytest.mark.parametrize("fallback", [True, False])
def test_a_restless_writer_and_a_live_copy(pair: MountedPair, fallback: bool) -> None:
    """Its writes are traced, and copied again; but they do not stop for the last freeze."""
    live = SyncRequest(
        pair.source.identifier, pair.target.identifier, partitions=(2,), quiesce="live", quiesce_fallback=fallback
    )
    before = pair.mounts()
    with pytest.raises(QuiesceError) as caught, restless(pair.source.partition(2)):
        disk_sync.run(live)
    assert_refused(caught.value)
    assert (pair.mounts(), pair.frozen(), tracefs.instances(os.getpid())) == (before, [], [])


def test_an_image_file_that_is_written_to_and_dated_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(16 * MIB))

    def act() -> None:
        status = source.stat()
        with source.open("r+b") as file:
            file.write(b"x")
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(QuiesceError) as caught:
        image_sync.run(ImageRequest(str(source), str(target), create=True), Once(act))
    assert_refused(caught.value)
    assert not target.exists()


def test_check_mode_says_that_its_numbers_are_of_no_one_moment(pair: MountedPair) -> None:
    check = SyncRequest(pair.source.identifier, pair.target.identifier, partitions=(2,), check=True)
    (entry,) = disk_sync.run(check, Once(lambda: raw_write(pair.source.partition(2)))).pairs
    assert any("of no one moment" in note for note in entry.notes)


NEW = (b"the new kernel", b"the new modules")


@pytest.mark.needs("tracefs")
@pytest.mark.usefixtures("_unmounting")
@pytest.mark.parametrize("quiesce", ["live", "freeze"])
def test_an_upgrade_during_the_copy_is_on_both_partitions_or_on_none(pair: MountedPair, quiesce: str) -> None:
    """It begins when the first partition is copied and the second is being read; without a trace it has to wait."""
    (pair.root / "filler").write_bytes(os.urandom(12 * MIB))

    def upgrade() -> None:
        (pair.boot / "kernel").write_bytes(NEW[0])
        (pair.root / "modules").write_bytes(NEW[1])

    threads: list[threading.Thread] = []

    def begin() -> None:
        if quiesce == "live":
            upgrade()
        else:
            threads.append(threading.Thread(target=lambda: (pair.root / "modules").write_bytes(NEW[1])))
            threads[0].start()

    result = disk_sync.run(request(pair, 1, 2, quiesce=quiesce), Once(begin)).as_dict()
    for thread in threads:
        thread.join()
    assert all(partition["complete"] for partition in result["partitions"])
    assert found_on(pair, 1, "kernel", NEW[0]) == found_on(pair, 2, "modules", NEW[1]) == (quiesce == "live")


def found_on(pair: MountedPair, number: int, name: str, content: bytes) -> bool:
    """Whether the target's partition has the file with that content."""
    partition = pair.target.partition(number)
    run("blockdev", "--flushbufs", partition)
    run("mount", "-o", "ro" if number == 1 else "ro,noload", partition, str(pair.copy))
    try:
        path = pair.copy / name
        return path.exists() and path.read_bytes() == content
    finally:
        run("umount", str(pair.copy))


def test_what_was_written_through_the_whole_source_disk_just_before(pair: MountedPair) -> None:
    """It is in the cache of that node alone, and on the disk only when that is written."""
    as_idle(pair)
    data = os.urandom(64 * 1024)
    fd = os.open(pair.source.path, os.O_WRONLY)
    try:
        os.pwrite(fd, data, start(pair, 2) + 20 * MIB)
        disk_sync.run(request(pair, 2))
    finally:
        os.close(fd)
    assert read(pair.target.partition(2), 20 * MIB, len(data)) == data


def test_a_reader_of_the_whole_target_disk_sees_the_copy(pair: MountedPair) -> None:
    as_idle(pair)
    offset = int(Path("/sys/class/block", pair.target.partition(2).rpartition("/")[2], "start").read_text()) * SECTOR
    fd = os.open(pair.target.path, os.O_RDONLY)
    try:
        os.pread(fd, 32 * MIB, offset)
        disk_sync.run(request(pair, 2))
        held = os.pread(fd, 32 * MIB, offset)
    finally:
        os.close(fd)
    assert held == read(pair.source.partition(2), 0, 32 * MIB)


def test_what_was_written_through_the_whole_target_disk_does_not_overwrite_the_copy(pair: MountedPair) -> None:
    as_idle(pair)
    offset = int(Path("/sys/class/block", pair.target.partition(2).rpartition("/")[2], "start").read_text()) * SECTOR
    fd = os.open(pair.target.path, os.O_RDWR)
    try:
        os.pwrite(fd, os.urandom(4 * MIB), offset + MIB)
        disk_sync.run(request(pair, 2))
        os.fsync(fd)
    finally:
        os.close(fd)
    assert hashes(pair.target.partition(2)) == hashes(pair.source.partition(2))


def read(path: str, offset: int, length: int) -> bytes:
    """Past the cache of whoever has read it before."""
    run("blockdev", "--flushbufs", path)
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


@pytest.mark.needs("tracefs")
def test_a_trace_that_was_off_for_a_while_and_a_count_that_agrees(
    pair: MountedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was missed is made up for by writes past the partitions, which the trace reports and the partition's counter
    does not."""
    truth = FrozenTruth(monkeypatch, pair.source.partition(2))
    missed = os.urandom(64 * SECTOR)

    def act() -> None:
        (instance,) = tracefs.instances(of=os.getpid())
        switch = tracefs.DIR / "instances" / instance / "tracing_on"
        switch.write_text("0")
        fd = os.open(pair.source.partition(2), os.O_WRONLY | os.O_DSYNC)
        os.pwrite(fd, missed, 31 * MIB)
        os.close(fd)
        switch.write_text("1")
        fd = os.open(pair.source.path, os.O_RDWR | os.O_DSYNC)
        place = start(pair, 2) + 30 * MIB
        os.pwrite(fd, os.pread(fd, len(missed), place), place)
        os.close(fd)

    live = SyncRequest(pair.source.identifier, pair.target.identifier, partitions=(2,), quiesce="live")
    (entry,) = disk_sync.run(live, Once(act)).as_dict()["partitions"]
    size = SIZES[1] * SECTOR
    assert entry["bytes_read"] >= 2 * 2 * size  # both sides once more: what was copied before counts for nothing
    assert truth.different(pair.target.partition(2)) == []
