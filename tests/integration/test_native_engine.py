# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine on loop devices and image files: what it copies, counts and leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blksync.engines.base import CopyOptions, Outcome
from blksync.engines.monitor import Monitor
from blksync.engines.native.engine import NativeEngine
from blksync.errors import DirectIOError, VerificationError
from blksync.ranges import Range, whole
from blksync.system import device
from tests.support.disks import MIB
from tests.support.no_direct_io import refuse_to_open, refuse_to_read
from tests.support.pairs import LoopPair, changed_bytes, noise, with_changes

pytestmark = pytest.mark.needs("root", "loop-devices", "losetup")

BLOCK = 4096
ODD = 3 * MIB + 5 * 512  # no multiple of the block or of the window


class Recorder(Monitor):
    """Keeps every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def advanced(self, compared: int, changed: int) -> None:
        self.calls.append((compared, changed))


@pytest.fixture(scope="module")
def pair() -> Iterator[LoopPair]:
    with LoopPair(ODD) as made:
        yield made


@pytest.fixture(scope="module")
def pair_4k() -> Iterator[LoopPair]:
    with LoopPair(2 * MIB, sector=4096) as made:
        yield made


def copy(pair: LoopPair, ranges: list[Range] | None = None, monitor: Monitor | None = None) -> Outcome:
    with device.open_source(pair.source.path) as source, device.claim_target(pair.target.path) as target:
        outcome = NativeEngine().copy(source, target, ranges or whole(source.size), monitor or Monitor(), CopyOptions())
        assert source.direct
        assert target.direct
        if outcome.write_log:
            outcome.write_log.verify(target, Monitor())
    return outcome


def predict(pair: LoopPair) -> Outcome:
    with device.open_source(pair.source.path) as source, device.open_source(pair.target.path) as target:
        return NativeEngine().compare(source, target, whole(source.size), Monitor(), CopyOptions())


CHANGES = {
    "nothing": [],
    "first byte": [0],
    "last byte": [-1],
    "second to last block": [ODD - 512 - 1 - BLOCK],
    "both sides of a window's edge": [MIB - 1, MIB],
    "scattered": [5, BLOCK + 5, 10 * BLOCK, 700 * BLOCK + 77, 701 * BLOCK],
}


@pytest.mark.parametrize("offsets", CHANGES.values(), ids=CHANGES.keys())
def test_exactly_the_changed_blocks_are_written(pair: LoopPair, offsets: list[int]) -> None:
    source = noise(ODD)
    target = with_changes(source, offsets)
    pair.fill(source, target)
    expected = changed_bytes(source, target, BLOCK)
    written_before = pair.target.bytes_written()
    for outcome in (predict(pair), copy(pair)):
        assert outcome.bytes_written == expected
        assert outcome.blocks_changed == -(-expected // BLOCK)
        assert outcome.blocks_total == -(-ODD // BLOCK)
        assert outcome.bytes_read == 2 * ODD
    assert pair.contents() == (source, source)
    assert copy(pair).bytes_written == 0
    assert pair.target.bytes_written() - written_before == expected


@pytest.mark.parametrize("size", [512, BLOCK - 512, BLOCK, BLOCK + 512, MIB - 512, MIB, MIB + 512, 9 * MIB + 512])
def test_everything_changed_whatever_the_size(pair: LoopPair, size: int) -> None:
    source = noise(size)
    pair.fill(source, noise(size, 2))
    outcome = copy(pair)
    assert (outcome.bytes_written, outcome.blocks_changed) == (size, -(-size // BLOCK))
    assert pair.contents() == (source, source)


def test_devices_with_larger_sectors(pair_4k: LoopPair) -> None:
    source = noise(2 * MIB)
    pair_4k.fill(source, with_changes(source, [0, 2 * MIB - 1]))
    assert copy(pair_4k).bytes_written == 2 * BLOCK
    assert pair_4k.contents() == (source, source)


def test_a_large_sector_is_the_block() -> None:
    size = 64 * 4096
    with LoopPair(size, sector=4096) as large:
        large.fill(noise(size), noise(size))
        with device.open_source(large.source.path) as source, device.claim_target(large.target.path) as target:
            source.sector = 8192  # loop devices stop at the page size
            Path(large.source.file).write_bytes(with_changes(noise(size), [3 * 4096]))
            outcome = NativeEngine().copy(source, target, whole(size), Monitor(), CopyOptions())
    assert (outcome.block, outcome.bytes_written) == (8192, 8192)


def test_an_empty_list_of_ranges_is_nothing_to_do(pair: LoopPair) -> None:
    pair.fill(noise(BLOCK), noise(BLOCK, 2))
    with device.open_source(pair.source.path) as source, device.claim_target(pair.target.path) as target:
        outcome = NativeEngine().copy(source, target, (), Monitor(), CopyOptions())
    assert (outcome.blocks_total, outcome.bytes_written, outcome.write_log) == (0, 0, None)


def test_only_the_ranges_are_compared_and_written(pair: LoopPair) -> None:
    source, target = noise(ODD), noise(ODD, 2)
    pair.fill(source, target)
    ranges = [Range(700 * BLOCK, ODD - 700 * BLOCK), Range(0, BLOCK), Range(3 * BLOCK, 2 * BLOCK)]
    outcome = copy(pair, ranges)
    expected = bytearray(target)
    for span in ranges:
        expected[span.offset : span.offset + span.length] = source[span.offset : span.offset + span.length]
    assert pair.contents()[1] == bytes(expected)
    assert outcome.bytes_written == sum(span.length for span in ranges)
    assert outcome.blocks_total == 3 + -(-(ODD - 700 * BLOCK) // BLOCK)


def test_a_stale_page_cache_of_the_target_deceives_nobody(pair: LoopPair) -> None:
    pair.fill(noise(MIB), noise(MIB))
    with (
        device.open_source(pair.source.path) as source,
        device.claim_target(pair.target.path) as target,
        open(pair.target.path, "rb") as reader,
    ):
        assert reader.read() == noise(MIB)  # cached from now on
        pair.target.file.write_bytes(with_changes(noise(MIB), [100]))
        outcome = NativeEngine().copy(source, target, whole(MIB), Monitor(), CopyOptions())
        assert outcome.bytes_written == BLOCK
        assert outcome.write_log
        assert pair.contents()[1] == noise(MIB)
        reader.seek(0)
        assert reader.read() == noise(MIB)
        pair.target.file.write_bytes(with_changes(noise(MIB), [100]))
        with pytest.raises(VerificationError):
            outcome.write_log.verify(target, Monitor())


@pytest.mark.parametrize("opener", [device.open_source, device.claim_target])
def test_a_device_that_refuses_direct_io_is_not_opened(
    pair: LoopPair, monkeypatch: pytest.MonkeyPatch, opener: Callable[[str], device.Device]
) -> None:
    path = pair.source.path
    before = len(os.listdir("/proc/self/fd"))
    refused = "%s cannot be read and written past the page cache: " % path
    for call, replacement in (("open", refuse_to_open((path,))), ("preadv", refuse_to_read(path))):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, replacement)
            with pytest.raises(DirectIOError, match=refused):
                opener(path)
    assert len(os.listdir("/proc/self/fd")) == before
    opener(path).close()


def test_no_part_of_a_device_is_read_through_the_cache() -> None:
    """The kernel gives the last bytes of such a device to buffered reads only."""
    with LoopPair(MIB + 512, sector=4096) as odd:
        odd.fill(noise(MIB + 512), noise(MIB + 512, 2))
        with pytest.raises(DirectIOError, match="no multiple of its sectors"):
            copy(odd)


def test_the_odd_end_of_an_image_file_is_copied(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(noise(MIB + 77))
    second.write_bytes(noise(MIB + 77, 2))
    with device.open_source(str(first)) as source, device.claim_target(str(second)) as target:
        outcome = NativeEngine().copy(source, target, whole(source.size), Monitor(), CopyOptions())
        assert outcome.write_log
        assert outcome.write_log.verify(target, Monitor()) == MIB + 77
    assert second.read_bytes() == first.read_bytes()


def test_prediction_needs_no_permission_to_write(pair: LoopPair) -> None:
    pair.fill(noise(MIB), noise(MIB, 2))
    subprocess.run(["blockdev", "--setro", pair.target.path], check=True)
    try:
        assert predict(pair).bytes_written == MIB
    finally:
        subprocess.run(["blockdev", "--setrw", pair.target.path], check=True)
    assert pair.contents()[1] == noise(MIB, 2)


def test_progress_rises_to_the_size_and_what_was_written(pair: LoopPair) -> None:
    size = 9 * MIB + 512
    pair.fill(noise(size), noise(size, 2))
    recorder = Recorder()
    copy(pair, monitor=recorder)
    assert recorder.calls == sorted(recorder.calls)
    assert recorder.calls[-1] == (size, size)
    assert len(recorder.calls) >= 3


@pytest.mark.parametrize("size", [1, 511, 4095, MIB + 4097, 2 * MIB + 512 * 3 + 1, 2 * MIB])
@pytest.mark.parametrize("directory", ["memory", "disk"])
def test_image_files_of_any_size(tmp_path: Path, directory: str, size: int) -> None:
    place = Path("/dev/shm") if directory == "memory" else tmp_path
    first, second = place / f"blksync-{size}-a.img", place / f"blksync-{size}-b.img"
    source = noise(size)
    target = with_changes(source, sorted({0, size - 1}))
    try:
        first.write_bytes(source)
        second.write_bytes(target)
        with device.open_source(str(first)) as reading, device.claim_target(str(second)) as writing:
            outcome = NativeEngine().copy(reading, writing, whole(size), Monitor(), CopyOptions())
            assert outcome.write_log
            assert outcome.write_log.verify(writing, Monitor()) == outcome.bytes_written
        assert outcome.bytes_written == changed_bytes(source, target, BLOCK)
        assert second.read_bytes() == source
        assert first.read_bytes() == source
    finally:
        first.unlink()
        second.unlink()


MEASURED = """
import sys
from blksync.system import device
from blksync.engines.base import CopyOptions, Monitor; from blksync.ranges import whole
from blksync.engines.native.engine import NativeEngine
from blksync.errors import DirectIOError; from blksync.errors import VerificationError
with device.open_source(sys.argv[1]) as source, device.claim_target(sys.argv[2]) as target:
    outcome = NativeEngine().copy(source, target, whole(source.size), Monitor(), CopyOptions(verify="full"))
    assert outcome.write_log.verify(target, Monitor()) == source.size == outcome.bytes_written
# Not ru_maxrss: it survives exec and would be that of the tests.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_stays_below_64_mib(pair: LoopPair) -> None:
    size = 96 * MIB
    pair.fill(noise(MIB) * 96, noise(MIB, 2) * 96)
    answer = subprocess.run(
        [sys.executable, "-c", MEASURED, pair.source.path, pair.target.path],
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "plugins/module_utils")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(answer.stdout.split()[1]) < 64 * 1024, answer.stdout
    assert pair.target.file.stat().st_size == size
