# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run left whose processes were all killed, found when its mount, its device or its disk is another."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.model import Machine
from blksync.paths import RUN_DIR
from blksync.quiesce.client import Quiescer
from blksync.quiesce.plan import steps_for
from blksync.quiesce.recovery import RestoredRun, restore_state
from blksync.system.device import device_number
from blksync.system.mountinfo import read_mounts
from tests.support import machines
from tests.support.disks import MIB, LoopDevice, run
from tests.support.mounted import MountedPair, freeze, is_frozen, thaw
from tests.support.quiesce_driver import DrivenQuiesce

pytestmark = pytest.mark.needs("root", "loop-devices", "mkfs.ext4", "sfdisk", "partx")
DEAD = {"pid": 1, "start": "none"}
MAKE = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"]}


class Leftover:
    """A mounted device, and the state file that its guardian wrote while it was quiesced."""

    def __init__(self, directory: Path, device: LoopDevice, unfreezable: tuple[str, ...] = ()) -> None:
        self.directory = directory / "state"
        self.mountpoint = directory / "mountpoint"
        self.mountpoint.mkdir(exist_ok=True)
        self.device = device
        run("mount", device.path, str(self.mountpoint))
        mounts = tuple(mount for mount in read_mounts() if mount.mountpoint == str(self.mountpoint))
        partition = machines.partition("x", 1, 1, path=device.path, devno=device.devno, mounts=mounts)
        plan = steps_for(Machine((), read_mounts()), partition, "auto", unfreezable)
        with Quiescer(60, "a killed run", str(self.directory)) as quiescer:
            quiescer.prepare([plan])
            with quiescer.quiesced(plan):
                (file,) = self.directory.glob("quiesce-*.json")
                self.record: dict[str, Any] = json.loads(file.read_text())
        self.record.update(sync=DEAD, guardian=DEAD, session=0)

    def leave(self, directory: Path | None = None, **replaced: str) -> None:
        """Write the file again, as if its run were dead; ``replaced`` are fields of its step."""
        for entry in self.record["entries"]:
            entry["step"].update(replaced)
        ((directory or self.directory) / "quiesce-1.json").write_text(json.dumps(self.record))

    def restore(self) -> RestoredRun:
        (restored,) = restore_state(str(self.directory))
        return restored

    def lend_number_to(self, stranger: LoopDevice) -> None:
        """As if that one had been plugged in after the first was gone."""
        self.leave(device=stranger.path, backing_devno=stranger.devno, devno=stranger.devno)

    def assert_reported_once(self) -> None:
        restored = self.restore()
        (failure,) = restored.failures
        assert failure.gone
        assert "another disk has its number now" in failure.message
        assert "mount -t ext4" in failure.hint
        assert restored.actions == []
        assert restore_state(str(self.directory)) == []


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[LoopDevice, LoopDevice]]:
    with LoopDevice(16 * MIB) as device, LoopDevice(16 * MIB) as stranger:
        for each in (device, stranger):
            run("mkfs.ext4", "-q", each.path)
        try:
            yield device, stranger
        finally:
            unmount_all(tmp_path)


def unmount_all(directory: Path) -> None:
    for mount in reversed([mount for mount in read_mounts() if mount.mountpoint.startswith(str(directory))]):
        thaw(Path(mount.mountpoint))
        run("umount", mount.mountpoint)


def test_the_guardian_writes_down_what_identifies_the_device(
    tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]
) -> None:
    (entry,) = Leftover(tmp_path, disks[0]).record["entries"]
    uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", disks[0].path).strip().replace("-", "")
    sequence = Path("/sys/block", disks[0].name, "diskseq")
    number = int(sequence.read_text()) if sequence.exists() else 0
    assert entry["step"]["identity"] == {"diskseq": number, "start": 0, "size": 16 * MIB, "uuid": uuid}


def test_a_stranger_is_never_mounted_in_its_place(tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]) -> None:
    left = Leftover(tmp_path, disks[0], ("ext4",))
    run("umount", str(left.mountpoint))
    left.lend_number_to(disks[1])
    left.assert_reported_once()
    assert not left.mountpoint.is_mount()


def test_a_stranger_that_is_mounted_in_its_place_is_not_it(
    tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]
) -> None:
    left = Leftover(tmp_path, disks[0], ("ext4",))
    run("umount", str(left.mountpoint))
    run("mount", disks[1].path, str(left.mountpoint))
    left.lend_number_to(disks[1])
    left.assert_reported_once()


def test_a_stranger_is_never_thawed(tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]) -> None:
    left = Leftover(tmp_path, disks[0])
    run("umount", str(left.mountpoint))
    run("mount", disks[1].path, str(left.mountpoint))
    freeze(left.mountpoint)
    left.lend_number_to(disks[1])
    left.assert_reported_once()
    assert is_frozen(left.mountpoint)


def test_a_stranger_is_never_made_writable(tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]) -> None:
    left = Leftover(tmp_path, disks[0])
    run("umount", str(left.mountpoint))
    run("mount", "-o", "ro", disks[1].path, str(left.mountpoint))
    left.record["entries"][0]["action"] = "remounted_read_only"
    left.lend_number_to(disks[1])
    left.assert_reported_once()
    (mount,) = [mount for mount in read_mounts() if mount.mountpoint == str(left.mountpoint)]
    assert mount.holds_still


@pytest.mark.parametrize(
    "fstype", ["ext4", *(pytest.param(kind, marks=pytest.mark.needs("mkfs." + kind)) for kind in ("xfs", "btrfs"))]
)
def test_what_is_frozen_and_mounted_nowhere_is_thawed(tmp_path: Path, fstype: str) -> None:
    with LoopDevice(320 * MIB) as device:
        run(*MAKE[fstype], device.path)
        left = Leftover(tmp_path, device)
        try:
            freeze(left.mountpoint)
            run("umount", "-l", str(left.mountpoint))
            left.leave()
            restored = left.restore()
            assert restored.failures == []
            assert [action.action for action in restored.actions] == ["frozen"]
            assert restore_state(str(left.directory)) == []
            assert not [mount for mount in read_mounts() if mount.mountpoint.startswith("/run/blksync-")]
            run("mount", device.path, str(left.mountpoint))
            assert not is_frozen(left.mountpoint)
        finally:
            unmount_all(tmp_path)


def test_what_was_thawed_and_unmounted_is_no_failure(tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]) -> None:
    left = Leftover(tmp_path, disks[0])
    run("umount", str(left.mountpoint))
    left.leave()
    before = disks[0].bytes_written()
    assert left.restore().failures == []
    assert not left.mountpoint.is_mount()
    assert disks[0].bytes_written() == before


def test_a_leftover_concerns_only_the_runs_that_touch_its_disk(
    tmp_path: Path, disks: tuple[LoopDevice, LoopDevice]
) -> None:
    (tmp_path / "other").mkdir()
    left = Leftover(tmp_path / "other", disks[0], ("ext4",))
    run("umount", str(left.mountpoint))
    left.mountpoint.rmdir()  # so that it cannot be mounted again
    (tmp_path / "pair").mkdir()
    with MountedPair(tmp_path / "pair") as pair, in_run_dir() as directory:
        left.leave(directory)
        for _turn in range(2):
            with DrivenQuiesce(**pair.request()) as driven:
                end = driven.end()
            assert end["step"] == "done", end
            assert len([warning for warning in end["warnings"] if str(left.mountpoint) in warning]) == 1
        root = pair.source.partition(2)
        number = device_number(os.stat(root))
        left.record["entries"][0]["step"]["identity"] = None
        left.leave(directory, device=root, backing_devno=number, devno=number)
        with DrivenQuiesce(**pair.request()) as driven:
            end = driven.end()
        assert end["kind"] == "restore", end
        assert str(left.mountpoint) in end["msg"]


@contextmanager
def in_run_dir() -> Iterator[Path]:
    """Where a sync looks for leftovers; afterwards none is there."""
    directory = Path(RUN_DIR)
    try:
        yield directory
    finally:
        (directory / "quiesce-1.json").unlink(missing_ok=True)
