# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""image_sync on real files and devices: equal copies, sparse ones, generations, digests, and what goes wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.model import Machine
from blksync.engines.native import copy_pass
from blksync.errors import BlksyncError, QuiesceError
from blksync.options import ImageRequest
from blksync.sync import image_sync, session
from blksync.sync.monitor import Progress
from blksync.sync.plan import Pair
from tests.support.ansible import run_module
from tests.support.blocks import content
from tests.support.blocksync_program import PROGRAM
from tests.support.digest_images import on_disk
from tests.support.disks import MIB, LoopDevice, run
from tests.support.pairs import noise, with_changes

pytestmark = pytest.mark.needs("root")
SIZE = 3 * MIB + 4096 * 3 + 100
ENGINES = ["native", "blocksync_fast"]


def nothing() -> Machine:
    """A machine without disks: files need none."""
    return Machine(())


def sync(source: Path, target: Path, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
    values = {"engine": "native", **options}
    if values["engine"] == "blocksync_fast" and not PROGRAM:
        pytest.skip("blocksync-fast is not installed")
    return image_sync.run(ImageRequest(str(source), str(target), **values), progress, nothing).as_dict()


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.fixture
def dir_on_disk() -> Iterator[Path]:
    with on_disk() as directory:
        yield directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.img"
    path.write_bytes(noise(SIZE))
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_made_unchanged_and_changed(tmp_path: Path, source: Path, engine: str) -> None:
    target = tmp_path / "target.img"
    predicted = sync(source, target, create=True, check=True, engine=engine)
    assert not target.exists()
    first = sync(source, target, create=True, engine=engine)
    assert target.read_bytes() == source.read_bytes()
    for result in (predicted, first):
        assert (result["changed"], result["created"], result["bytes_written"]) == (True, True, SIZE)
    assert target.stat().st_mode & 0o777 == 0o600
    second = sync(source, target, engine=engine)
    assert (second["changed"], second["created"], second["bytes_written"]) == (False, False, 0)
    source.write_bytes(with_changes(noise(SIZE), [0, 2 * MIB, SIZE - 1]))
    assert sync(source, target, engine=engine, check=True)["bytes_written"] == 2 * 4096 + 100
    assert sync(source, target, engine=engine)["bytes_written"] == 2 * 4096 + 100
    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.img", "target.img"]


@pytest.mark.parametrize("engine", ENGINES)
def test_holes_stay_holes(tmp_path: Path, engine: str) -> None:
    source, target = tmp_path / "source.img", tmp_path / "target.img"
    with source.open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(20 * MIB)
        file.write(noise(MIB))
    result = sync(source, target, create=True, engine=engine)
    assert result["bytes_written"] == MIB
    assert target.read_bytes() == source.read_bytes()
    assert allocated(target) < 2 * MIB
    empty = tmp_path / "empty.img"
    os.truncate(source, 0)
    os.truncate(source, 64 * MIB)
    assert sync(source, empty, create=True)["changed"]
    assert allocated(empty) == 0


def test_zeros_are_punched_when_asked_for(tmp_path: Path) -> None:
    source, target = tmp_path / "source.img", tmp_path / "target.img"
    full = noise(8 * MIB)
    zeroed = bytearray(full)
    for start, length in ((MIB, 2 * MIB), (5 * MIB + 4096, 4096), (8 * MIB - 8192, 8192)):
        zeroed[start : start + length] = bytes(length)
    source.write_bytes(zeroed)
    for punch_zeros, room in ((False, 8 * MIB), (True, 8 * MIB - 2 * MIB - 4096 - 8192)):
        target.write_bytes(full)
        result = sync(source, target, punch_zeros=punch_zeros)
        assert result["bytes_written"] == 2 * MIB + 4096 + 8192
        assert target.read_bytes() == zeroed
        assert abs(allocated(target) - room) <= 64 * 1024


def test_with_a_digest_the_image_is_not_read(source: Path, dir_on_disk: Path) -> None:
    target, directory = dir_on_disk / "target.img", dir_on_disk / "digests"
    used = []
    for _run in range(3):
        result = sync(source, target, create=True, digest_dir=str(directory))
        used.append((result["partitions"][0]["digest"]["used"], result["changed"]))
    assert used == [(False, True), (True, False), (True, False)]
    source.write_bytes(with_changes(noise(SIZE), [MIB]))
    changed = sync(source, target, digest_dir=str(directory))
    assert (changed["partitions"][0]["digest"]["used"], changed["bytes_written"]) == (True, 4096)
    assert target.read_bytes() == source.read_bytes()
    times = target.stat()
    with target.open("r+b") as file:  # somebody writes to the image, and hides it as well as a program can
        file.write(b"x")
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    noticed = sync(source, target, digest_dir=str(directory))
    assert not noticed["partitions"][0]["digest"]["used"]
    assert target.read_bytes() == source.read_bytes()


def test_without_comparing_everything_is_written(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "target.img"
    sync(source, target, create=True)
    again = sync(source, target, compare=False, verify="full")
    assert (again["changed"], again["bytes_written"]) == (True, SIZE)
    assert again["partitions"][0]["verified"]["bytes_read"] == SIZE
    assert target.read_bytes() == source.read_bytes()


class During(Progress):
    """Does something in the middle of the copy."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        self.act()


def test_a_source_that_is_written_to_meanwhile_is_noticed(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_pass, "REPORT", 1)
    target, directory = tmp_path / "target.img", tmp_path / "digests"
    sync(source, target, create=True, digest_dir=str(directory))
    with pytest.raises(QuiesceError, match="written to while"):
        sync(source, target, During(lambda: os.truncate(source, SIZE)), digest_dir=str(directory))
    result = sync(source, target, digest_dir=str(directory))
    assert result["partitions"][0]["digest"]["reason"]["code"] == "unfinished"
    assert target.read_bytes() == source.read_bytes()


def test_an_image_that_is_being_made_is_not_there_before_it_is_whole(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "target.img"

    def die() -> None:
        assert not target.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(source, target, During(die), create=True)
    assert not target.exists()
    result = sync(source, target, create=True)  # goes on with what was left
    assert result["created"]
    assert result["bytes_written"] < SIZE
    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.img", "target.img"]


def test_two_at_once_on_one_image(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "WAIT_LIMIT", 0.1)
    target = tmp_path / "target.img"

    def second() -> None:
        with pytest.raises(BlksyncError, match="in use by another run") as caught:
            sync(source, target, create=True)
        assert caught.value.kind == "device_busy"

    sync(source, target, During(second), create=True)


@pytest.fixture(params=["xfs", "btrfs"])
def cloning(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that clones files."""
    if not shutil.which("mkfs." + request.param):
        pytest.skip(f"needs the command mkfs.{request.param}")
    mountpoint = tmp_path / "cloning"
    mountpoint.mkdir()
    with LoopDevice(320 * MIB) as device:
        run("mkfs." + request.param, "-q", device.path)
        run("mount", device.path, str(mountpoint))
        try:
            yield mountpoint
        finally:
            run("umount", str(mountpoint))


@pytest.mark.needs("loop-devices")
def test_generations_share_what_did_not_change(cloning: Path) -> None:
    source, target = cloning / "source.img", cloning / "target.img"
    contents = [with_changes(noise(32 * MIB), [number * MIB]) for number in range(4)]
    directory = cloning.parent / "digests"
    source.write_bytes(contents[0])
    sync(source, target, create=True, keep=2)
    target.chmod(0o640)
    before = os.statvfs(cloning)
    for number in (1, 2, 3):
        source.write_bytes(contents[number])
        first = sync(source, target, keep=2, digest_dir=str(directory))
        assert first["bytes_written"] == 8192
        assert first["partitions"][0]["digest"]["used"] is (number > 1)
        unchanged = sync(source, target, keep=2, digest_dir=str(directory))
        assert (unchanged["changed"], unchanged["partitions"][0]["digest"]["used"]) == (False, True)
    names = ["source.img", "target.img", "target.img.1", "target.img.2"]
    assert sorted(path.name for path in cloning.iterdir() if path.is_file()) == names
    for path, number in ((target, 3), (cloning / "target.img.1", 2), (cloning / "target.img.2", 1)):
        assert path.read_bytes() == contents[number]
    assert target.stat().st_mode & 0o777 == 0o640
    run("sync", "-f", str(cloning))
    assert (
        before.f_bfree - os.statvfs(cloning).f_bfree
    ) * before.f_bsize < 48 * MIB  # not 64 more: the source's own 32


@pytest.mark.needs("loop-devices")
def test_an_interrupted_generation_leaves_the_image_whole(cloning: Path) -> None:
    source, target = cloning / "source.img", cloning / "target.img"
    source.write_bytes(noise(8 * MIB))
    sync(source, target, create=True, keep=1)
    source.write_bytes(noise(8 * MIB, seed=2))

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(source, target, During(die), keep=1)
    assert target.read_bytes() == noise(8 * MIB)
    sync(source, target, keep=1)
    assert target.read_bytes() == source.read_bytes()
    assert (cloning / "target.img.1").read_bytes() == noise(8 * MIB)


@pytest.mark.needs("loop-devices")
def test_a_file_system_that_cannot_clone_is_named_before_anything_is_done(tmp_path: Path, source: Path) -> None:
    mountpoint = tmp_path / "plain"
    mountpoint.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(mountpoint))
    try:
        target = mountpoint / "target.img"
        target.write_bytes(bytes(SIZE))
        with pytest.raises(BlksyncError, match="reflink") as caught:
            sync(source, target, keep=1)
        assert caught.value.kind == "invalid_request"
        assert [path.name for path in mountpoint.iterdir()] == ["target.img"]
    finally:
        run("umount", str(mountpoint))


@pytest.mark.needs("loop-devices")
def test_the_module_copies_a_device_that_is_in_use_and_puts_it_back(tmp_path: Path) -> None:
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    image_path, restored = tmp_path / "image.img", tmp_path / "restored"
    restored.mkdir()
    with LoopDevice(32 * MIB) as device, LoopDevice(32 * MIB) as other:
        run("mkfs.ext4", "-q", device.path)
        run("mount", device.path, str(mountpoint))
        try:
            (mountpoint / "file").write_bytes(noise(MIB))
            options = {"source": device.path, "target": str(image_path), "create": True}
            predicted = run_module("image_sync", options, check=True, diff=True)
            assert predicted["changed"], predicted
            assert not image_path.exists()
            made = run_module("image_sync", options, diff=True)
            assert made["created"], made
            assert made["partitions"][0]["quiesce"]
            assert any("by-id" in str(warning) for warning in made["warnings"])
            (mountpoint / "file").write_bytes(noise(MIB, seed=2))  # it is writable again
        finally:
            run("umount", str(mountpoint))
        back = run_module("image_sync", {"source": str(image_path), "target": other.path, "verify": "full"})
        assert back["changed"], back
        assert content(other.path) == image_path.read_bytes()
        run("e2fsck", "-fp", other.path)
        run("mount", "-o", "ro", other.path, str(restored))
        try:
            assert (restored / "file").read_bytes() == noise(MIB)
        finally:
            run("umount", str(restored))


@pytest.mark.needs("loop-devices")
def test_the_module_copies_only_what_a_file_system_uses(tmp_path: Path) -> None:
    mountpoint, image_path, restored = tmp_path / "mounted", tmp_path / "image.img", tmp_path / "restored"
    mountpoint.mkdir()
    restored.mkdir()
    with LoopDevice(64 * MIB) as device:
        run("mkfs.ext4", "-q", device.path)
        run("mount", device.path, str(mountpoint))
        try:
            (mountpoint / "file").write_bytes(noise(MIB))
            options = {"source": device.path, "target": str(image_path), "create": True, "scope": "used"}
            made = run_module("image_sync", options)
            (pair,) = made["partitions"]
            assert pair["scope"] == {"mode": "used", "reason": None}, made
            assert pair["bytes_skipped"] > 32 * MIB
        finally:
            run("umount", str(mountpoint))
        not_mounted = run_module("image_sync", options)
        assert not_mounted["partitions"][0]["scope"]["mode"] == "all", not_mounted
        assert not_mounted["partitions"][0]["scope"]["reason"]["code"] == "not_mounted"
    run("e2fsck", "-fp", str(image_path))
    run("mount", "-o", "ro,loop", str(image_path), str(restored))
    try:
        assert (restored / "file").read_bytes() == noise(MIB)
    finally:
        run("umount", str(restored))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "image", "keep": -1}, ["an absolute path", "keep is -1; give at least 0"]),
        ({"scope": "used", "engine": "blocksync_fast"}, ["whole partitions only"]),
        ({"protected": [11111111]}, ["protected[0] is the number 11111111", "quote it"]),
        ({"quiesce": "live"}, ["auto, freeze, none"]),
    ],
)
def test_the_module_says_all_that_is_wrong(options: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    failed = run_module("image_sync", {"source": "/dev/null", "target": str(tmp_path / "image"), **options})
    assert all(word in failed["msg"] for word in words), failed
    assert not list(tmp_path.iterdir())
