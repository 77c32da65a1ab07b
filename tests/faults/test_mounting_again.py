# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmounted and mounted again exactly as before: options, subpaths, order, propagation; and what stands in the way."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from blksync.discovery.model import Machine
from blksync.errors import DeviceBusyError, QuiesceError, RestoreError
from blksync.quiesce.client import Quiesced, Quiescer
from blksync.quiesce.plan import QuiescePlan, steps_for
from blksync.quiesce.step import Step
from blksync.system import libc
from blksync.system.device import open_source
from blksync.system.mountinfo import Mount, parse_mountinfo
from tests.support import machines
from tests.support.disks import MIB, LoopDevice, run
from tests.support.mounted import comparable, is_frozen
from tests.support.waiting import wait_for

pytestmark = pytest.mark.needs("root", "loop-devices", "mkfs.ext4", "unshare")


class Scene:
    """A shared tmpfs at ``directory`` with an ext4 device to mount below it; the file system holds "sub"."""

    def __init__(self, directory: Path, device: LoopDevice) -> None:
        self.directory = directory
        self.device = device

    def prepare(self, *commands: str) -> None:
        """Run shell commands with $D as the device, in the directory."""
        for command in commands:
            run("sh", "-ec", 'cd "$1"; D=$2; ' + command, "sh", str(self.directory), self.device.path)

    def all_mounts(self) -> tuple[Mount, ...]:
        return parse_mountinfo(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))

    def mounts(self) -> list[Mount]:
        return [mount for mount in self.all_mounts() if mount.devno == self.device.devno]

    def picture(self) -> list[tuple[object, ...]]:
        """The mounts, and which of them share a peer group or follow one, whatever the groups' numbers are."""
        mounts = sorted(self.mounts(), key=lambda mount: (mount.mountpoint, mount.root))
        numbers: dict[str, int] = {}
        groups = []
        for mount in mounts:
            for field in mount.propagation:
                kind, _colon, group = field.partition(":")
                groups.append((mount.mountpoint, kind, numbers.setdefault(group, len(numbers))))
        return [*map(comparable, mounts), *groups]

    def plan(self, *unfreezable: str) -> QuiescePlan:
        partition = machines.partition("x", 1, 1, path=self.device.path, devno=self.device.devno, mounts=self.mounts())
        return steps_for(Machine((), self.all_mounts()), partition, "auto", unfreezable)

    @contextmanager
    def quiesced(self, *unfreezable: str, timeout: float = 60) -> Iterator[Quiesced]:
        plan = self.plan(*unfreezable)
        with Quiescer(timeout, "a test", str(self.directory / "state")) as quiescer:
            quiescer.prepare([plan])
            with quiescer.quiesced(plan) as state:
                yield state


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    directory = tmp_path / "a directory"  # mountinfo escapes the blank
    directory.mkdir()
    with LoopDevice(16 * MIB) as device:
        run("mkfs.ext4", "-q", device.path)
        run("mount", "-t", "tmpfs", "scene", str(directory))
        try:
            run("mount", "--make-shared", str(directory))
            scene = Scene(directory, device)
            scene.prepare("mkdir a b c state; mount $D a; mkdir a/sub a/sub/deep; echo x > a/sub/file; umount a")
            yield scene
        finally:
            run("umount", "-R", str(directory))


SITUATIONS = {
    "one mount": ["mount $D a"],
    "all kinds of options": ["mount -o nosuid,nodev,noexec,noatime,sync,lazytime,errors=remount-ro,commit=7 $D a"],
    "access times": ["mount -o strictatime,nodiratime $D a"],
    "a read-only mount of a writable file system": ["mount $D a", "mount -o remount,bind,ro a"],
    "twice": ["mount $D a", "mount $D b", "mount -o remount,bind,ro,nosuid b"],
    "a private mount": ["mount $D a", "mount --make-private a"],
    "an unbindable mount": ["mount $D a", "mount --make-unbindable a"],
    "a bind mount of a directory": ["mount $D a", "mount --bind a/sub b", "mount -o remount,bind,noexec b"],
    "a bind mount of a file": ["mount $D a", "touch file", "mount --bind a/sub/file file"],
    "only a directory of it": ["mount $D a", "mount --bind a/sub b", "umount a"],
    "only directories of it": ["mount $D a", "mount --bind a/sub b", "mount --bind a/sub/deep c", "umount a"],
    "a directory of a directory": ["mount $D a", "mount --bind a/sub b", "umount a", "mount --bind b/deep c"],
    "bound onto itself": ["mount $D a", "mount --make-private a", "mount --bind a/sub a/sub/deep"],
    "twice in one place": ["mount $D a", "mount --make-private a", "mount --bind a a"],
    "one that follows another": ["mount $D a", "mount --bind a b", "mount --make-slave b"],
    "one that follows a later one": ["mount $D a", "mount --bind a b", "mount --make-slave a"],
    "one that follows one that follows": [
        "mount $D a",
        "mount --bind a b",
        "mount --make-slave a",
        "mount --make-shared a",
        "mount --bind a c",
        "mount --make-slave a",
    ],
    "one that follows and leads": ["mount $D a", "mount --bind a b", "mount --make-slave b", "mount --make-shared b"],
    "two groups": ["mount $D a", "mount --bind a b", "mount --make-private b", "mount --make-shared b"],
    "peers of a directory": ["mount $D a", "mount --bind a/sub b", "mount --bind b c", "umount a"],
    "seen twice through peers": ["mkdir a/m", "mount --bind a b", "mount $D a/m"],
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_mounted_again_as_before(scene: Scene, name: str) -> None:
    scene.prepare(*SITUATIONS[name])
    before = scene.picture()
    assert before
    with scene.quiesced("ext4") as state:
        assert [entry.action for entry in state.report] == ["unmounted"]
        assert scene.mounts() == []
        with pytest.raises(DeviceBusyError):
            open_source(scene.device.path, exclusive=True)  # so nothing can mount it either
    assert scene.picture() == before
    assert not list((scene.directory / "state").iterdir())


def test_released_before_the_end(scene: Scene) -> None:
    scene.prepare("mount $D a")
    before = scene.picture()
    plan = scene.plan("ext4")
    with Quiescer(60, "a test", str(scene.directory / "state")) as quiescer:
        quiescer.prepare([plan])
        with quiescer.quiesced(plan) as state:
            assert scene.picture() != before
            state.release()
            assert scene.picture() == before
            (entry,) = state.report
            scene.prepare("umount a")  # from now on that is nobody's business here
            state.release()
            quiescer.check()
        assert state.report == [entry]
        assert scene.picture() == []


def test_released_too_late(scene: Scene) -> None:
    scene.prepare("mount $D a")
    with scene.quiesced() as state:
        scene.prepare("fsfreeze --unfreeze a")
        with pytest.raises(QuiesceError, match="was thawed"):
            state.release()
    assert state.released


@contextmanager
def automount(directory: Path) -> Iterator[int]:
    """A direct autofs mount as systemd makes it; this process group is its daemon. Yields where requests arrive."""
    reader, writer = os.pipe()
    options = "fd=%d,pgrp=%d,minproto=5,maxproto=5,direct" % (writer, os.getpgrp())
    libc.mount("systemd-1", str(directory), "autofs", 0, options)
    try:
        yield reader
    finally:
        run("umount", str(directory))
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif("autofs" not in Path("/proc/filesystems").read_text(), reason="this kernel has no autofs")
def test_an_automount_below_it_stays_and_is_not_triggered(scene: Scene) -> None:
    directory = scene.directory / "a"
    with automount(directory) as requests:
        scene.prepare("mount $D a")
        before = scene.picture()
        with scene.quiesced("ext4") as state:
            assert [entry.action for entry in state.report] == ["unmounted"]
            last = [mount for mount in scene.all_mounts() if mount.mountpoint == str(directory)][-1]
            assert last.fstype == "autofs"
        assert scene.picture() == before
        (mount,) = scene.mounts()
        assert mount.parent_id == last.mount_id
        assert select.select([requests], [], [], 0)[0] == []
        scene.prepare("umount a")


def test_a_busy_mount_leaves_all_others_where_they_were(scene: Scene) -> None:
    scene.prepare("mount $D a", "mount --bind a/sub b", "mount --bind b c")
    before = scene.picture()
    with open(scene.directory / "a/sub/file", encoding="ascii"), scene.quiesced("ext4") as state:
        assert [entry.action for entry in state.report] == ["remounted_read_only"]
        with pytest.raises(OSError, match="Read-only"):
            (scene.directory / "c/new").touch()
    assert scene.picture() == before
    (scene.directory / "c/new").touch()


def test_what_others_are_mounted_on_is_made_read_only(scene: Scene) -> None:
    scene.prepare("mount $D a", "mount -t tmpfs other a/sub")
    before = scene.picture()
    with scene.quiesced("ext4") as state:
        assert [entry.action for entry in state.report] == ["remounted_read_only"]
    assert scene.picture() == before


@contextmanager
def other_namespace(program: str, cwd: Path | None = None) -> Iterator[subprocess.Popen]:
    """A process in a private copy of all mounts; it has said that it is ready."""
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-ec", program + "; echo ready; read end"]
    with subprocess.Popen(argv, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.communicate(b"\n")


def test_a_file_system_that_a_container_has_mounted_too_is_made_read_only(scene: Scene) -> None:
    scene.prepare("mount $D a")
    before = scene.picture()
    with other_namespace(":"), scene.quiesced("ext4") as state:
        assert [entry.action for entry in state.report] == ["remounted_read_only"]
    assert scene.picture() == before


def test_a_container_that_writes_is_named(scene: Scene) -> None:
    scene.prepare("mount $D a")
    before = scene.picture()
    container = other_namespace("exec 3> '%s/a/log'" % scene.directory)
    with container as process, pytest.raises(QuiesceError) as caught, scene.quiesced("ext4"):
        pass
    assert "process %d (sh)" % process.pid in str(caught.value)
    assert scene.picture() == before


@pytest.mark.parametrize(
    "program", ["cd '%s/a'; exec sleep 600", "exec sleep 600 9> '%s/a/log'", "exec '%s/a/sleep' 600"]
)
def test_whoever_keeps_it_busy_is_named(scene: Scene, program: str) -> None:
    scene.prepare("mount $D a", "cp /bin/sleep a/sleep")
    with subprocess.Popen(["sh", "-c", program % scene.directory]) as process:
        try:
            # One that only stands in the directory does not keep it from being read-only: a writer has to be there too.
            with open(scene.directory / "a/written", "w", encoding="ascii"):
                message = _message_when_used_by(scene, process)
        finally:
            process.kill()
    assert "process %d (" % process.pid in message
    assert "process %d (" % os.getpid() in message
    assert str(scene.directory / "a") in message


def _message_when_used_by(scene: Scene, process: subprocess.Popen) -> str:
    messages: list[str] = []

    def is_named() -> bool:  # once the shell has got there
        with pytest.raises(QuiesceError) as caught, scene.quiesced("ext4"):
            pass
        messages.append(str(caught.value))
        return "process %d (" % process.pid in messages[-1]

    wait_for(is_named, state=lambda: messages)
    return messages[-1]


def test_a_loop_device_on_it_is_named(scene: Scene) -> None:
    scene.prepare("mount $D a", "truncate -s 1M a/image")
    loop = run("losetup", "-f", "--show", str(scene.directory / "a/image")).strip()
    try:
        with pytest.raises(QuiesceError, match=loop), scene.quiesced("ext4"):
            pass
    finally:
        run("losetup", "-d", loop)


def test_what_says_only_when_asked_that_it_cannot_be_frozen_is_unmounted(scene: Scene) -> None:
    scene.prepare("mount $D a")
    before = scene.picture()
    with pytest.MonkeyPatch.context() as patch:
        # No such request: "Inappropriate ioctl for device".
        patch.setattr("blksync.quiesce.actions.freeze_process.FIFREEZE", 0x5877)
        with scene.quiesced() as state:
            assert [entry.action for entry in state.report] == ["unmounted"]
    assert scene.picture() == before


def test_mounts_that_changed_since_they_were_looked_at_are_left_alone(scene: Scene) -> None:
    scene.prepare("mount $D a")
    plan = scene.plan("ext4")
    scene.prepare("mount --bind a b")
    before = scene.picture()
    with Quiescer(60, "a test", str(scene.directory / "state")) as quiescer:
        quiescer.prepare([plan])
        with pytest.raises(QuiesceError, match="changed"), quiescer.quiesced(plan):
            pass
    assert scene.picture() == before


def test_a_file_system_frozen_and_covered_by_another_is_found_through_its_other_mount(scene: Scene) -> None:
    scene.prepare("mount $D a", "mount --bind a b", "mount --make-private a", "mount -t tmpfs other a")
    with scene.quiesced() as state:
        assert [entry.action for entry in state.report] == ["frozen"]
        assert is_frozen(scene.directory / "b")
    assert not is_frozen(scene.directory / "b")


@pytest.mark.parametrize(("directory", "leads_to_backup"), [("/dev", True), ("/dev/disk/by-uuid", False)])
def test_remounting_goes_by_the_remembered_device_and_not_by_a_link_that_can_lead_to_the_backup(
    scene: Scene, directory: str, leads_to_backup: bool
) -> None:
    scene.prepare("mount $D a")
    link = Path(directory, "blksync-test-%d" % os.getpid())
    link.parent.mkdir(parents=True, exist_ok=True)
    with LoopDevice(16 * MIB) as backup:
        run("mkfs.ext4", "-q", backup.path)
        link.symlink_to(backup.path if leads_to_backup else scene.device.path)
        try:
            # As if it had been mounted through the link.
            plan = scene.plan("ext4")
            lent = replace(plan, steps=tuple(_with_source(step, str(link)) for step in plan.steps))
            with Quiescer(60, "a test", str(scene.directory / "state")) as quiescer:
                quiescer.prepare([lent])
                with quiescer.quiesced(lent):
                    pass
        finally:
            link.unlink()
    (mount,) = scene.mounts()
    assert mount.source == scene.device.path


def _with_source(step: Step, source: str) -> Step:
    return replace(step, mounts=tuple(replace(mount, source=source) for mount in step.mounts))


def test_a_failing_remount_does_not_keep_the_others_from_being_restored(scene: Scene) -> None:
    scene.prepare("mount $D a", "mount --bind a/sub b")
    with pytest.raises(RestoreError, match=r"Run: mount -t ext4 .*/a"), scene.quiesced("ext4"):
        os.rename(scene.directory / "a", scene.directory / "elsewhere")
    os.rename(scene.directory / "elsewhere", scene.directory / "a")


def test_a_state_dir_on_what_is_frozen_is_not_written(scene: Scene) -> None:
    scene.prepare("mount $D a", "mkdir a/state")
    plan = scene.plan()
    with Quiescer(60, "a test", str(scene.directory / "a/state")) as quiescer:
        quiescer.prepare([plan])
        with quiescer.quiesced(plan) as state:
            assert [entry.action for entry in state.report] == ["frozen"]
        assert any("lies on the source" in note for note in quiescer.notes)
    assert not is_frozen(scene.directory / "a")


def test_a_full_state_dir_is_a_note_and_no_failure(scene: Scene) -> None:
    scene.prepare("mount $D a", "mkdir full", "mount -t tmpfs -o size=4k,nr_inodes=1 full full")
    plan = scene.plan()
    with Quiescer(60, "a test", str(scene.directory / "full/state")) as quiescer:
        quiescer.prepare([plan])
        with quiescer.quiesced(plan):
            pass
        assert any("Cannot use" in note for note in quiescer.notes)


def test_nothing_is_started_where_nothing_is_mounted(scene: Scene) -> None:
    plan = scene.plan()
    with Quiescer(60, "a test", str(scene.directory / "state")) as quiescer:
        quiescer.prepare([plan])
        with quiescer.quiesced(plan) as state:
            quiescer.check()
            assert state.report == []
        assert quiescer._link is None
