# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source that is copied while it is written to: the target is what the source was when it was frozen last."""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.observe import observe
from blksync.live import convergence, dirty_bitmap
from blksync.live.dirty_bitmap import DirtyBitmap
from blksync.live.dirty_tracker import DirtyTracker
from blksync.options import SyncRequest
from blksync.ranges import Range
from blksync.sync import disk_sync
from blksync.sync.pair import PairCopy
from tests.support import tracefs
from tests.support.disks import MIB, SECTOR, run
from tests.support.frozen_truth import FrozenTruth
from tests.support.mixed_writer import MixedWriter
from tests.support.mounted import MountedPair, wait_for
from tests.support.writer import Writer

pytestmark = pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4", "e2fsck")

EXT4 = ("mkfs.ext4", "-q")
# mkfs.xfs makes none below 300 MiB, but for its own tests, which it knows by these variables.
XFS = ("env", "TEST_DIR=/", "TEST_DEV=/", "QA_CHECK_FS=1", "mkfs.xfs", "-q")
KINDS = {"ext4": (EXT4, "defaults"), "ext4-discard": (EXT4, "discard"), "xfs": (XFS, "defaults")}
RUNS = {"sample": 2, "full": 72, "long": 1500}  # of each kind of file system
SIZES = (8 * MIB // SECTOR, 64 * MIB // SECTOR)
BLKDISCARD = 0x1277
FASTER = "faster than it can be copied"


@pytest.fixture(autouse=True)
def _worth_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of these small disks is written meanwhile, the last of it is copied while frozen."""
    monkeypatch.setattr(convergence, "LARGE", 1)


@pytest.fixture
def kind() -> str:
    return "ext4"


@pytest.fixture
def pair(tmp_path: Path, kind: str) -> Iterator[MountedPair]:
    make_root, options = KINDS[kind]
    if kind == "xfs" and "xfs" not in Path("/proc/filesystems").read_text().split():
        pytest.skip("needs a kernel with xfs")
    with MountedPair(tmp_path, SIZES, make_root, options) as pair:
        yield pair


@pytest.fixture
def truth(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> FrozenTruth:
    return FrozenTruth(monkeypatch, pair.source.partition(2))


def copy(pair: MountedPair, **options: Any) -> dict[str, Any]:
    """What a live sync of the second partition reports of it."""
    options = {"quiesce": "live", "engine": "native", **options}
    request = SyncRequest(pair.source.identifier, pair.target.identifier, partitions=(2,), **options)
    (partition,) = disk_sync.run(request).as_dict()["partitions"]
    assert partition["complete"]
    return dict(partition)


def vary(chance: random.Random, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Other options, chunks and ends of iterations for each run."""
    patch.setattr(dirty_bitmap, "CHUNK", chance.choice((4096, 16384, 65536, MIB)))
    patch.setattr(convergence, "SMALL", chance.choice((64 * 1024, 512 * 1024, 8 * MIB)))
    return {
        "compare": chance.random() < 0.7,
        "verify": chance.choice(("auto", "auto", "full")),
        "block_size": chance.choice((4096, 4096, 65536)),
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_the_target_is_what_was_frozen(
    pair: MountedPair, kind: str, truth: FrozenTruth, monkeypatch: pytest.MonkeyPatch, depth: str
) -> None:
    late = most_iterations = 0
    frozen: list[float] = []
    for number in range(RUNS[depth]):
        chance = random.Random("%s %d" % (kind, number))
        options = vary(chance, monkeypatch)
        with MixedWriter(pair.root, number, chance.choice((2, 8, 20, 40)) * MIB):
            report = copy(pair, **options)
        assert truth.taken == number + 1
        assert truth.different(pair.target.partition(2)) == [], (number, options, report)
        assert report["live"]["used"], report["live"]
        late += len(truth.late)
        most_iterations = max(most_iterations, report["live"]["iterations"])
        frozen += [report["frozen_seconds"]]
    print(
        "\n%s: %d runs, all live and equal; late: %d chunks; at most %d iterations; frozen %.3f s, most %.3f s"
        % (kind, len(frozen), late, most_iterations, sorted(frozen)[len(frozen) // 2], max(frozen))
    )


@pytest.mark.parametrize(("kind", "scope"), [*((kind, "all") for kind in KINDS), ("ext4", "used"), ("xfs", "used")])
def test_the_copy_is_a_whole_file_system_with_every_durable_file(pair: MountedPair, kind: str, scope: str) -> None:
    Path(pair.target.partition(2)).write_bytes(os.urandom(4 * MIB) * (SIZES[1] * SECTOR // (4 * MIB)))
    with Writer(pair.root) as writer, MixedWriter(pair.root, 1, 4 * MIB):
        writer.wait_for_files(20)
        before = writer.durable()
        report = copy(pair, scope=scope)
        assert report["live"]["used"], report["live"]
        assert report["scope"]["mode"] == scope, report["scope"]
    partition = pair.target.partition(2)
    run("blockdev", "--flushbufs", partition)
    if kind != "xfs":  # xfs says the same of every frozen file system: that it has a log to replay
        run("e2fsck", "-fn", partition)
    run("mount", "-o", "nouuid" if kind == "xfs" else "ro,noload", partition, str(pair.copy))
    try:
        for name, content in before.items():
            assert (pair.copy / name).read_bytes() == content
    finally:
        run("umount", str(pair.copy))
    if kind == "xfs":
        run("xfs_repair", "-n", partition)


@pytest.mark.needs("blocksync-fast")
def test_the_program_does_the_first_pass(pair: MountedPair, truth: FrozenTruth) -> None:
    with MixedWriter(pair.root, 3, 8 * MIB):
        for _turn in range(2):
            report = copy(pair, engine="blocksync_fast")
            assert report["live"]["used"], report
            assert truth.different(pair.target.partition(2)) == []


def discard(path: str, offset: int, length: int) -> None:
    """As a file system's worker does it late (BLKDISCARD, linux/fs.h)."""
    fd = os.open(path, os.O_WRONLY)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    finally:
        os.close(fd)


@pytest.mark.parametrize("quiesce", ["live", "freeze"])
def test_what_is_discarded_after_the_freeze_is_copied_and_verified(
    pair: MountedPair, truth: FrozenTruth, monkeypatch: pytest.MonkeyPatch, quiesce: str
) -> None:
    """Three times, just after it was read: a place that the file system has no use for."""
    path = pair.source.partition(2)
    end = SIZES[1] * SECTOR
    changes = PairCopy.changes
    places = [end - MIB * number for number in (1, 2, 3)]
    for place in places:
        overwrite(path, place, os.urandom(MIB // 2))

    def late(copy: PairCopy, tracker: DirtyTracker | None) -> tuple[Range, ...]:
        if places:
            discard(path, places.pop(), MIB // 2)
        return changes(copy, tracker)

    monkeypatch.setattr(PairCopy, "changes", late)
    report = copy(pair, quiesce=quiesce)
    assert (report["live"] or {"used": False})["used"] is (quiesce == "live")
    assert not places
    assert report["verified"]["bytes_read"] == report["bytes_written"]
    assert truth.different(pair.target.partition(2)) == []


@pytest.mark.parametrize("possible", [True, False])
def test_auto_is_live_where_that_is_possible(pair: MountedPair, truth: FrozenTruth, possible: bool) -> None:
    """And never an error for want of it."""
    if not possible:
        tracefs.unmount()
    with MixedWriter(pair.root, 7, 8 * MIB):
        report = copy(pair, quiesce="auto", quiesce_fallback=False)
    assert report["live"]["used"] is possible
    assert truth.different(pair.target.partition(2)) == []


def overwrite(path: str, offset: int, data: bytes) -> None:
    """Past the page cache of the file system, and on the medium at once."""
    fd = os.open(path, os.O_WRONLY | os.O_DSYNC)
    try:
        os.pwrite(fd, data, offset)
    finally:
        os.close(fd)


def lose_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DirtyTracker, "take", lambda _tracker, _partition: ())


def lose_some(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = DirtyBitmap.ranges

    def some(dirty: DirtyBitmap) -> tuple[Range, ...]:
        return tuple(span for number, span in enumerate(ranges(dirty)) if number % 5)

    monkeypatch.setattr(DirtyBitmap, "ranges", some)


@pytest.mark.parametrize("lose", [lose_all, lose_some])
def test_a_missing_dirty_pass_would_be_seen(
    pair: MountedPair, truth: FrozenTruth, monkeypatch: pytest.MonkeyPatch, lose: Any
) -> None:
    """The control run: what the tests above would say of a sync that overlooks writes."""
    lose(monkeypatch)
    monkeypatch.setattr(convergence, "SMALL", 64 * 1024)
    found: list[int] = []
    with MixedWriter(pair.root, 4, 20 * MIB):
        for _turn in range(3):
            copy(pair)
            found += truth.different(pair.target.partition(2))
    assert found


SECONDS = 12
BURST_SIZE = 1 << 23  # bytes of each file
BURST = """
import mmap, os, random, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT)
os.ftruncate(fd, 1 << 23)
data = [mmap.mmap(-1, 4096)]
while True:
    os.pwritev(fd, data, random.getrandbits(11) << 12)
"""


@pytest.mark.full
def test_memory_does_not_grow_with_what_is_recorded(pair: MountedPair) -> None:
    """As fast as two processes can write, for some seconds: nothing is lost, and nothing piles up."""
    machine = observe()
    disk = next(disk for disk in machine.disks if disk.path == pair.source.path)
    partition = disk.partition(2)
    assert partition is not None
    before = writes_done(pair)
    argv = [sys.executable, "-c", BURST]
    with DirtyTracker(disk, {partition: 4096}) as tracker:
        tracker.restart(partition)
        processes = [subprocess.Popen([*argv, str(pair.root / name)]) for name in ("one", "two")]
        try:
            wait_for(lambda: writes_done(pair) - before > 10_000)
            resident_first, first, begun = resident(), writes_done(pair), time.monotonic()
            while time.monotonic() - begun < SECONDS:
                tracker.check()
                time.sleep(0.5)
            grown, count = resident() - resident_first, writes_done(pair) - first
        finally:
            for process in processes:
                process.kill()
                process.wait()
        run("sync", "-f", str(pair.root))
        assert (
            sum(span.length for span in tracker.take(partition)) >= 2 * BURST_SIZE
        )  # it raises where an event was lost
    print("\n%d writes, %.0f a second; memory grown by %d KiB" % (count, count / SECONDS, grown // 1024))
    assert count > 20_000
    assert grown < MIB


def writes_done(pair: MountedPair) -> int:
    """Documentation/block/stat.rst."""
    return int(Path("/sys/class/block", pair.source.name, "stat").read_text().split()[4])


def resident() -> int:
    """Bytes of this process that are in memory (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
