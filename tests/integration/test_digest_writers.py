# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However something else writes to an image, and whenever: the next sync with a digest ends equal."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import RefusedError
from blksync.options import ImageRequest
from blksync.sync import image_sync
from blksync.sync.image_target import FICLONE, punch
from blksync.sync.monitor import Progress
from blksync.sync.plan import Pair
from tests.support.digest_images import SIZE, Images, overwrite, reason, used
from tests.support.disks import MIB, LoopDevice, run
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs("root", "loop-devices")
# "ext4-seconds": inodes without room for more than whole seconds.
KINDS = {
    "ext4": ("mkfs.ext4", "-q"),
    "ext4-seconds": ("mkfs.ext4", "-q", "-I", "128"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
}


@pytest.fixture(params=["ext4", "xfs", "btrfs", pytest.param("ext4-seconds", marks=pytest.mark.full)])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of that kind."""
    make = KINDS[request.param]
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    if not shutil.which(make[0]):
        pytest.skip(f"needs the command {make[0]}")
    with LoopDevice(320 * MIB) as device:
        run(*make, device.path)
        run("mount", device.path, str(mountpoint))
        try:
            yield mountpoint
        finally:
            run("umount", str(mountpoint))


@pytest.fixture
def images(directory: Path, tmp_path: Path) -> Images:
    made = Images(tmp_path, directory / "target.img")
    made.sync()
    assert used(made.sync())
    return made


def write_by_map(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[5 * MIB] ^= 1


def write_and_hide(path: Path) -> None:
    before = path.stat()
    overwrite(path, 5 * MIB, b"x" * 4096)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_through_a_hard_link(path: Path) -> None:
    other = path.with_suffix(".other")
    os.link(path, other)
    overwrite(other, 5 * MIB, b"x" * 4096)
    other.unlink()


def write_through_a_bind_mount(path: Path) -> None:
    other = path.parent.parent / "bound"
    other.touch()
    run("mount", "--bind", str(path), str(other))
    try:
        overwrite(other, 5 * MIB, b"x" * 4096)
    finally:
        run("umount", str(other))


def write_through_a_loop_device(path: Path) -> None:
    device = run("losetup", "-f", "--show", str(path)).strip()
    try:
        overwrite(Path(device), 5 * MIB, b"x" * 4096)
    finally:
        run("losetup", "-d", device)
    os.sync()


def cut_and_grow(path: Path) -> None:
    os.truncate(path, 5 * MIB)
    os.truncate(path, SIZE)


def punch_a_hole(path: Path) -> None:
    with path.open("r+b") as file:
        if not punch(file.fileno(), 5 * MIB, 4096):
            pytest.skip("no holes there")


def put_another_in_its_place(path: Path) -> None:
    before, other = path.stat(), path.with_suffix(".other")
    other.write_bytes(os.urandom(SIZE))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def clone_into_it(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(os.urandom(SIZE))
    try:
        with other.open("rb") as source, path.open("r+b") as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
    except OSError:
        pytest.skip("files cannot be cloned there")
    finally:
        other.unlink()


def exchange(path: Path) -> None:
    """RENAME_EXCHANGE, renameat2(2)."""
    other = path.with_suffix(".other")
    other.write_bytes(os.urandom(SIZE))
    if ctypes.CDLL(None).renameat2(-100, bytes(path), -100, bytes(other), 2):
        pytest.skip("files cannot be exchanged there")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: overwrite(path, 5 * MIB, b"x" * 4096),
        write_by_map,
        write_and_hide,
        write_through_a_hard_link,
        write_through_a_bind_mount,
        write_through_a_loop_device,
        cut_and_grow,
        punch_a_hole,
        put_another_in_its_place,
        clone_into_it,
        exchange,
    ],
)
def test_every_way_to_write_right_after_a_run_is_noticed(images: Images, write: Callable[[Path], None]) -> None:
    overwrite(images.source, 0, os.urandom(4096))
    images.sync()  # it has written, so that the times are those of just now
    write(images.target)
    assert reason(images.sync()) == "target_changed"
    assert used(images.sync())


class During(Progress):
    """Does something once, in the middle of the copy."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._acts = [act]

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        while self._acts:
            self._acts.pop()()


ELSEWHERE = """
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(100)
    file.write(b"not the source's")
"""


@pytest.mark.parametrize("digest_full_every", [1, 100])
def test_what_another_process_writes_during_the_run_is_not_trusted(images: Images, digest_full_every: int) -> None:
    """It is not found by this run, as all that is written to a target beside it; but by the next one."""
    argv = [sys.executable, "-c", ELSEWHERE, str(images.target)]
    act = During(lambda: subprocess.run(argv, check=True, timeout=PATIENCE))
    overwrite(images.source, 15 * MIB, os.urandom(4096))  # so that the times are new in any case
    with pytest.raises(AssertionError):
        images.sync(act, digest_full_every=digest_full_every)
    assert reason(images.sync()) == "writes_unseen"
    assert used(images.sync())


@pytest.mark.parametrize("dirty", [False, True])
def test_a_map_that_is_held_through_the_run_and_written_later(images: Images, dirty: bool) -> None:
    with images.target.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[5 * MIB] ^= dirty
        images.sync()
        mapped[5 * MIB] ^= 1
        result: dict[str, Any] = images.sync()
        assert not used(result)
    assert reason(images.sync()) == "writes_unseen"
    assert used(images.sync())


def test_in_a_tmpfs_no_digest_is_used(tmp_path: Path) -> None:
    """Writes to mapped pages do not always change the times there."""
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(mountpoint))
    try:
        images = Images(tmp_path, mountpoint / "target.img")
        images.sync()
        assert reason(images.sync()) == "writes_unseen"
        write_by_map(images.target)
        assert not used(images.sync())
    finally:
        run("umount", str(mountpoint))


def test_whoever_reads_the_image_meanwhile_does_not_wait_long(images: Images) -> None:
    done: list[bytes] = []
    images.sync(During(lambda: done.append(images.target.read_bytes()[:1])))
    assert done
    images.sync(During(lambda: subprocess.run(["head", "-c1", str(images.target)], check=True, timeout=PATIENCE)))


@pytest.mark.needs("mkfs.ext4")
def test_lazytime_is_refused_since_a_loss_of_power_takes_times_back(tmp_path: Path) -> None:
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    with LoopDevice(64 * MIB) as device:
        run("mkfs.ext4", "-q", device.path)
        run("mount", "-o", "lazytime", device.path, str(mountpoint))
        try:
            images = Images(tmp_path, mountpoint / "target.img")
            with pytest.raises(RefusedError, match="nolazytime") as caught:
                image_sync.run(ImageRequest(**images.options()))
            assert [refusal.code for refusal in caught.value.refusals] == ["digest_lazytime"]
        finally:
            run("umount", str(mountpoint))
