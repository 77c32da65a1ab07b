# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine when something goes wrong: errors of devices, cancellation, short reads and writes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from blksync.engines.base import CopyOptions, Outcome
from blksync.engines.monitor import Monitor
from blksync.engines.native.engine import NativeEngine
from blksync.errors import CancelledError, DeviceReadError, DeviceWriteError
from blksync.ranges import whole
from blksync.system import device
from tests.support.disks import MIB, LoopDevice
from tests.support.pairs import LoopPair, engine_threads, noise
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs("root", "loop-devices", "losetup")

BLOCK = 4096
SIZE = 24 * MIB + 512


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[LoopPair]:
    with LoopPair(SIZE) as made:
        yield made


@pytest.fixture
def pair(shared_pair: LoopPair) -> Iterator[LoopPair]:
    """A pair that differs everywhere; afterwards no thread and no descriptor is left."""
    shared_pair.fill(noise(SIZE), noise(SIZE, 2))
    before = len(os.listdir("/proc/self/fd"))
    yield shared_pair
    assert not engine_threads()
    assert len(os.listdir("/proc/self/fd")) == before


def copy(pair: LoopPair, monitor: Monitor | None = None) -> Outcome:
    with device.open_source(pair.source.path) as source, device.claim_target(pair.target.path) as target:
        return NativeEngine().copy(source, target, whole(source.size), monitor or Monitor(), CopyOptions())


def assert_copied_up_to(pair: LoopPair, least: int, most: int) -> None:
    """Each block of the target is the source's or as it was; all before ``least`` are, none from ``most`` on."""
    source, target, before = noise(SIZE), pair.target.file.read_bytes(), noise(SIZE, 2)
    assert target[:least] == source[:least]
    assert target[most:] == before[most:]
    for at in range(least, most, BLOCK):
        assert target[at : at + BLOCK] in (source[at : at + BLOCK], before[at : at + BLOCK]), f"rubbish at {at}"


@pytest.mark.parametrize("end", [0, BLOCK, MIB, 5 * MIB + 3 * BLOCK, SIZE // BLOCK * BLOCK])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_read_error_names_the_byte_and_ends_the_copy(pair: LoopPair, side: str, end: int) -> None:
    broken = getattr(pair, side)
    os.truncate(broken.file, end)
    with pytest.raises(DeviceReadError) as caught:
        copy(pair)
    assert (caught.value.path, caught.value.offset) == (broken.path, end)
    os.truncate(broken.file, SIZE)
    if side == "source":
        assert_copied_up_to(pair, 0, end // MIB * MIB)


def test_prediction_stops_at_a_read_error(pair: LoopPair) -> None:
    os.truncate(pair.source.file, 7 * MIB)
    with (
        device.open_source(pair.source.path) as source,
        device.open_source(pair.target.path) as target,
        pytest.raises(DeviceReadError, match=f"at byte {7 * MIB}"),
    ):
        NativeEngine().compare(source, target, whole(SIZE), Monitor(), CopyOptions())


@pytest.fixture
def small_dir(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory with room for 4 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "blksync-test", str(directory)], check=True)
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_failing_write_is_reported(pair: LoopPair, small_dir: Path) -> None:
    with (
        LoopDevice(SIZE, directory=small_dir, name="full") as full,
        device.open_source(pair.source.path) as source,
        device.claim_target(full.path) as target,
    ):
        with pytest.raises(DeviceWriteError) as caught:
            NativeEngine().copy(source, target, whole(SIZE), Monitor(), CopyOptions())
        assert caught.value.path == full.path
    assert caught.value.offset is not None
    assert 3 * MIB <= caught.value.offset < 5 * MIB


def test_a_failing_flush_is_reported(pair: LoopPair, small_dir: Path) -> None:
    with LoopDevice(SIZE, directory=small_dir, name="full") as full:
        buffered = device.Device(full.path, os.open(full.path, os.O_RDWR | os.O_EXCL), direct=False)
        with (
            device.open_source(pair.source.path) as source,
            buffered as target,
            pytest.raises(DeviceWriteError, match="Cannot flush") as caught,
        ):
            NativeEngine().copy(source, target, whole(SIZE), Monitor(), CopyOptions())
    assert caught.value.offset is None


class Stopper(Monitor):
    """Raises when ``after`` bytes were compared."""

    def __init__(self, error: BaseException, after: int) -> None:
        self.error = error
        self.after = after

    def advanced(self, compared: int, changed: int) -> None:
        if compared >= self.after:
            raise self.error


@pytest.mark.parametrize("error", [CancelledError("enough"), KeyboardInterrupt(), ValueError("a defect")])
def test_whatever_the_monitor_raises_ends_the_copy_within_a_few_mib(pair: LoopPair, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        copy(pair, Stopper(error, 8 * MIB))
    assert caught.value is error
    assert_copied_up_to(pair, 0, 9 * MIB)


def test_an_error_on_the_last_report_is_not_lost(pair: LoopPair) -> None:
    with pytest.raises(CancelledError):
        copy(pair, Stopper(CancelledError("at the end"), SIZE))


@contextlib.contextmanager
def signal_after(seconds: float) -> Iterator[None]:
    """SIGUSR1 to the main thread: none else of a sync takes signals, but pytest-xdist has a thread that would."""
    over = threading.Event()

    def send() -> None:
        if not over.wait(seconds):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may strike in a destructor
def test_a_signal_at_any_moment_leaves_no_thread(pair: LoopPair) -> None:
    """The handler raises wherever the main thread happens to be."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise CancelledError("a signal")

    def ended_early(source: device.Device, target: device.Device, delay: float) -> bool:
        try:
            with signal_after(delay):
                NativeEngine().copy(source, target, whole(SIZE), Monitor(), CopyOptions())
        except CancelledError:
            return True
        return False

    former = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with device.open_source(pair.source.path) as source, device.claim_target(pair.target.path) as target:
            for delay in range(1, 40):
                ended_early(source, target, delay * 0.0004)
                assert not engine_threads()
            assert ended_early(source, target, 0.002)
            assert not engine_threads()
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert_copied_up_to(pair, 0, SIZE)
    copy(pair)
    assert pair.contents() == (noise(SIZE), noise(SIZE))


def take_at_most(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Every read and write ends after ``most`` bytes."""
    preadv, pwritev = os.preadv, os.pwritev
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: preadv(fd, [buffers[0][:most]], offset))
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, offset: pwritev(fd, [buffers[0][:most]], offset))


@pytest.mark.parametrize("sectors", [1, 9, 195, 1953])
def test_short_reads_and_writes_are_continued_to_the_sector(
    pair: LoopPair, monkeypatch: pytest.MonkeyPatch, sectors: int
) -> None:
    size = 2 * MIB + 512
    pair.fill(noise(size), noise(size, 2))
    take_at_most(monkeypatch, sectors * 512)
    assert copy(pair).bytes_written == size
    assert pair.contents() == (noise(size), noise(size))


@pytest.fixture
def images(tmp_path: Path) -> Iterator[tuple[device.Device, device.Device]]:
    """Two image files that differ everywhere, open; afterwards they are equal."""
    paths = tmp_path / "source.img", tmp_path / "target.img"
    for seed, path in enumerate(paths):
        path.write_bytes(noise(SIZE + 77, seed))
    with device.open_source(str(paths[0])) as source, device.claim_target(str(paths[1])) as target:
        yield source, target
    assert paths[0].read_bytes() == paths[1].read_bytes() == noise(SIZE + 77, 0)
    assert not engine_threads()


@pytest.mark.parametrize("most", [4096 + 512, 100_000, 1_000_001])
def test_short_reads_and_writes_of_files_are_continued_to_the_byte(
    images: tuple[device.Device, device.Device], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    take_at_most(monkeypatch, most)
    assert NativeEngine().copy(*images, whole(SIZE + 77), Monitor(), CopyOptions()).bytes_written == SIZE + 77


def test_direct_io_to_a_file_refused_to_all_threads_at_once(
    images: tuple[device.Device, device.Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both readers of a file are refused before either could change its descriptor."""
    preadv, together, refused = os.preadv, threading.Barrier(4), threading.local()

    def refuse_once(fd: int, buffers: list[memoryview], offset: int) -> int:
        if not hasattr(refused, "already"):
            refused.already = True
            together.wait(timeout=PATIENCE)
            raise OSError(errno.EINVAL, "direct I/O is refused")
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", refuse_once)
    NativeEngine().copy(*images, whole(SIZE + 77), Monitor(), CopyOptions())
    assert not images[0].direct
    assert not images[1].direct
