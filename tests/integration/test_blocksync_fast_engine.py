# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real blocksync-fast on real block devices. Of each defect, a test first shows what the bare program does."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blksync.engines.base import CopyOptions, Outcome
from blksync.engines.blocksync_fast.engine import BlocksyncFastEngine
from blksync.engines.monitor import Monitor
from blksync.errors import CancelledError, DeviceReadError, DeviceWriteError, EngineError
from blksync.ranges import whole
from blksync.system.device import claim_target, open_source
from tests.support.blocksync_program import PROGRAM, children_of, needs_blocksync_fast, wait_until_gone
from tests.support.disks import MIB, LoopDevice, run
from tests.support.lost_run import lost_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.needs("root", "loop-devices"), needs_blocksync_fast]

BLOCK = 4096
UNSAFE = 16412 * BLOCK  # 16411 is a prime, and more than 64 MiB of blocks
ROOT = Path(__file__).resolve().parents[2]


class Pair:
    """Two loop devices of one size, the target with the source's content but for some blocks."""

    def __init__(self, size: int, directory: Path | None = None) -> None:
        self.size = size
        self.source = LoopDevice(size, name="source")
        try:
            self.target = LoopDevice(size, directory, name="target")
        except BaseException:
            self.source.close()
            raise

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.target.close()
        self.source.close()

    def fill(self, changed: set[int]) -> bytes:
        """Random content on both sides, other in ``changed`` blocks of the target; returns the source's."""
        content = random.Random(self.size).randbytes(self.size)
        old = bytearray(content)
        for number in changed:
            at = number * BLOCK
            old[at : at + BLOCK] = bytes(byte ^ 0xFF for byte in old[at : at + BLOCK])
        self.source.file.write_bytes(content)
        self.target.file.write_bytes(old)
        self.forget()
        return content

    def forget(self) -> None:
        for device in (self.source, self.target):
            run("blockdev", "--flushbufs", device.path)

    def differences(self) -> list[int]:
        """The bytes that differ on the media, as the backing files show them."""
        run("blockdev", "--flushbufs", self.target.path)
        source, target = self.source.file.read_bytes(), self.target.file.read_bytes()
        return [] if source == target else [at for at in range(self.size) if source[at] != target[at]]

    def copy(self, monitor: Monitor | None = None) -> Outcome:
        with open_source(self.source.path) as source, claim_target(self.target.path) as target:
            return BlocksyncFastEngine.find().copy(
                source, target, whole(self.size), monitor or Monitor(), CopyOptions()
            )

    def predict(self) -> Outcome:
        with open_source(self.source.path) as source, open_source(self.target.path) as target:
            return BlocksyncFastEngine.find().compare(source, target, whole(self.size), Monitor(), CopyOptions())


def run_bare(source: str | Path, target: str | Path, buffer: int = 64 * MIB) -> str:
    """The program as people run it; returns its last line."""
    sizes = ["--block-size=%d" % BLOCK, "--buffer-size=%d" % buffer]
    return run(PROGRAM, "-s", str(source), "-d", str(target), *sizes).splitlines()[-1]


LOST_RUNS = {
    "one block before the last": (8 * BLOCK, {6}, True),
    "a run up to the last": (8 * BLOCK, {2, 4, 5, 6}, True),
    "all but the last": (8 * BLOCK, set(range(7)), True),
    "a short last block": (7 * BLOCK + 512, {5, 6}, True),
    "two blocks": (2 * BLOCK, {0}, False),
    "two blocks, the last one short": (BLOCK + 1024, {0}, False),
    "a prime number of blocks before the last": (UNSAFE, {3, 16409, 16410}, False),
}


@pytest.mark.parametrize(("size", "changed", "avoidable"), LOST_RUNS.values(), ids=list(LOST_RUNS))
def test_a_lost_last_run(size: int, changed: set[int], avoidable: bool) -> None:
    with Pair(size) as pair:
        pair.fill(changed)
        last = run_bare(pair.source.path, pair.target.path)
        assert last.startswith("Updated: %d/" % len(changed))
        assert pair.differences() == list(lost_bytes(size, BLOCK, 64 * MIB, changed)) != []

        content = pair.fill(changed)
        expected = (BLOCK, -(-size // BLOCK), len(changed), len(changed) * BLOCK)
        predicted = pair.predict()
        assert facts(predicted) == expected
        outcome = pair.copy()
        assert facts(outcome) == expected
        assert pair.target.file.read_bytes() == content
        first = max(changed) * BLOCK if size < UNSAFE else 16409 * BLOCK
        note = "Wrote the block at byte %d, which blocksync-fast counted but did not write." % first
        assert outcome.notes == ([] if avoidable else [note])
        assert facts(pair.copy())[2:] == (0, 0)


def facts(outcome: Outcome) -> tuple[int, int, int, int]:
    return outcome.block, outcome.blocks_total, outcome.blocks_changed, outcome.bytes_written


def test_the_model_of_the_defect_is_the_program(tmp_path: Path) -> None:
    chance = random.Random(7)
    losses = 0
    for _case in range(150):
        size, per_buffer = chance.randrange(1, 12 * BLOCK), chance.randrange(2, 9)
        blocks = -(-size // BLOCK)
        changed = {number for number in range(blocks) if chance.random() < 0.6}
        (tmp_path / "source").write_bytes(bytes(size))
        old = bytearray(size)
        for number in changed:
            old[number * BLOCK : (number + 1) * BLOCK] = b"x" * min(BLOCK, size - number * BLOCK)
        (tmp_path / "target").write_bytes(old)
        run_bare(tmp_path / "source", tmp_path / "target", per_buffer * BLOCK)
        left = [at for at, byte in enumerate((tmp_path / "target").read_bytes()) if byte]
        lost = lost_bytes(size, BLOCK, per_buffer * BLOCK, changed)
        assert left == list(lost), (size, per_buffer, changed)
        losses += bool(lost)
    assert losses > 10


@pytest.mark.parametrize("size", [512, BLOCK, BLOCK + 512, 3 * BLOCK - 512, 257 * BLOCK, 3 * MIB + 7 * 512])
def test_odd_sizes(size: int) -> None:
    blocks = -(-size // BLOCK)
    last = size - (blocks - 1) * BLOCK
    patterns: list[set[int]] = [
        set(),
        {0},
        {blocks - 1},
        set(range(blocks)),
        set(range(0, blocks, 2)),
        set(range(1, blocks, 2)),
    ]
    with Pair(size) as pair:
        for changed in patterns:
            pair.fill(changed)
            expected = len(changed) * BLOCK - (BLOCK - last if blocks - 1 in changed else 0)
            assert facts(pair.predict()) == (BLOCK, blocks, len(changed), expected)
            assert facts(pair.copy()) == (BLOCK, blocks, len(changed), expected)
            assert pair.differences() == []


@pytest.mark.parametrize("bad", [BLOCK * 300, BLOCK * 300 + 1024, 0, 2 * MIB - BLOCK])
def test_a_source_that_cannot_be_read_is_named_with_the_offset(bad: int) -> None:
    with Pair(2 * MIB) as pair:
        pair.fill({1, 400})
        os.truncate(pair.source.file, bad)
        with pytest.raises(DeviceReadError) as caught:
            pair.copy()
        assert caught.value.offset == bad
        assert caught.value.path == pair.source.path
        assert "unknown state" in caught.value.hint


def test_the_bare_program_writes_rubbish_after_a_short_read() -> None:
    with Pair(2 * MIB) as pair:
        content = pair.fill({1})
        os.truncate(pair.source.file, MIB)
        assert run_bare(pair.source.path, pair.target.path).startswith("Updated: ")
        # The second half of the target was right before.
        assert pair.target.file.read_bytes()[MIB:] != content[MIB:]


def test_a_target_that_loses_its_writes_fails_at_the_flush(tmp_path: Path) -> None:
    with full_filesystem(tmp_path) as directory, Pair(8 * MIB, directory) as pair:
        pair.source.file.write_bytes(os.urandom(8 * MIB))
        pair.forget()
        assert run_bare(pair.source.path, pair.target.path).startswith("Updated: 2048/2048 blocks")
        run("blockdev", "--flushbufs", pair.source.path)
        with pytest.raises(DeviceWriteError) as caught:
            pair.copy()
        assert (caught.value.path, caught.value.offset) == (pair.target.path, None)


@contextlib.contextmanager
def full_filesystem(directory: Path) -> Iterator[Path]:
    """A file system of 2 MiB, where a sparse file of any size can be made and not be filled."""
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory))
    try:
        yield directory
    finally:
        run("umount", str(directory))


def test_a_stale_cache_hides_nothing() -> None:
    with Pair(2 * MIB) as pair, open(pair.source.path, "rb") as held, open(pair.target.path, "rb") as held_target:
        pair.fill(set())
        for cached in (held, held_target):  # as long as somebody holds a device open, its cache stays
            cached.read()
        with open(pair.source.file, "r+b") as medium:
            medium.seek(100 * BLOCK)
            medium.write(b"new" * BLOCK)
        assert run_bare(pair.source.path, pair.target.path).startswith("Updated: 0/")
        outcome = pair.copy()
        assert pair.source.file.read_bytes() == pair.target.file.read_bytes()
        assert facts(outcome)[2:] == (3, 3 * BLOCK)
        assert outcome.notes == []  # the program itself saw it


class AtFirstProgress(Monitor):
    """Does something to the program's process once it is on its way."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def advanced(self, compared: int, changed: int) -> None:
        if compared and not self.pids:
            self.pids = children_of(os.getpid())
            self.act()

    def act(self) -> None:
        raise CancelledError("enough")


class Kill(AtFirstProgress):
    def act(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def large() -> Iterator[Pair]:
    with Pair(128 * MIB) as pair:
        with pair.source.file.open("r+b") as file:
            for _chunk in range(128):
                file.write(os.urandom(4096) * 256)
        pair.forget()
        yield pair


def test_a_killed_program_is_an_error_and_the_next_run_repairs(large: Pair) -> None:
    monitor = Kill()
    with pytest.raises(EngineError, match="was killed by SIGKILL") as caught:
        large.copy(monitor)
    assert len(monitor.pids) == 1
    assert "unknown state" in caught.value.hint
    large.copy()
    assert large.source.file.read_bytes() == large.target.file.read_bytes()


def test_a_cancelled_run_leaves_no_program_behind(large: Pair) -> None:
    monitor = AtFirstProgress()
    with pytest.raises(CancelledError, match="enough"):
        large.copy(monitor)
    assert len(monitor.pids) == 1
    assert wait_until_gone(monitor.pids[0], 0)
    claim_target(large.target.path).close()


def test_the_program_is_gone_when_its_parent_is_killed() -> None:
    with Pair(8192 * MIB) as pair:
        argv = [sys.executable, "-m", "tests.support.copy_driver", pair.source.path, pair.target.path]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as python:
            assert python.stdout
            next(line for line in python.stdout if int(line) > 0)
            (program,) = children_of(python.pid)
            assert os.readlink("/proc/%d/exe" % program) == os.path.realpath(PROGRAM)
            python.kill()
            assert wait_until_gone(program, 5)
        claim_target(pair.target.path).close()
