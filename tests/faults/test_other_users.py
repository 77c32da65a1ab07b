# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an ordinary user of the machine does, on purpose or not, neither stops a backup nor misleads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blksync.paths import RUN_DIR
from blksync.quiesce.actions.freeze import STUCK_PATIENCE
from tests.support import fuse
from tests.support.blocks import assert_equal, content, fill
from tests.support.command import ENVIRONMENT, Command
from tests.support.disks import MIB, SECTOR, LoopDevice, PartitionedDisk, identifiers, run
from tests.support.fuse import NOBODY, FuseMount, SlowReader, StuckWriter
from tests.support.hung_writer import HungWriter
from tests.support.mounted import MountedPair
from tests.support.quiesce_driver import DrivenQuiesce
from tests.support.sync_driver import Driven
from tests.support.waiting import PATIENCE, wait_for
from tests.tooling.paths import ROOT

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
needs_fuse = pytest.mark.skipif(bool(fuse.missing()), reason=fuse.missing())
SIZES = (8 * MIB // SECTOR, 16 * MIB // SECTOR)
THIRD = "5d%06x" % (os.getpid() & 0xFFFFFF)
OK, ERROR, USAGE, ABSENT, STALE, NEEDS_ROOT = range(6)
Disks = tuple[PartitionedDisk, PartitionedDisk]


@pytest.fixture
def disks() -> Iterator[Disks]:
    first, second = identifiers()
    with PartitionedDisk(first, SIZES) as source, PartitionedDisk(second, SIZES, gap=4096) as target:
        fill(source.partition(2), length=2 * MIB)
        yield source, target


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody can enter, as /etc and /var, and unlike those below ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="blksync-test-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture
def command(place: Path) -> Command:
    return Command(place)


def put_job(command: Command, disks: Disks, **more: object) -> None:
    command.put_job("travel", disks[0].identifier, disks[1].identifier, **more)


def as_nobody(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Python that begins as root, since NOBODY may be unable to start the tests' Python, and goes on as NOBODY."""
    become = "from tests.support.fuse import become_nobody; import blksync.cli, sys, fcntl, os, time; become_nobody()\n"
    argv = [sys.executable, "-c", become + program, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=ENVIRONMENT, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def run_as_nobody(command: Command, *arguments: str) -> tuple[int, str, str]:
    """The blksync command of an ordinary user: its exit code, output and errors."""
    program = "from blksync.cli import main; sys.exit(main(sys.argv[1:]))"
    process = as_nobody(program, *command.argv()[3:], *arguments)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


LOCK_ALL = """
held = []
for top in sys.argv[1:]:
    for directory, _names, files in os.walk(top):
        for name in files:
            try:
                held.append(open(os.path.join(directory, name)))
                fcntl.flock(held[-1], fcntl.LOCK_EX)
            except OSError:
                pass
print(len(held), flush=True)
sys.stdin.read()
"""


def test_who_locks_all_files_in_reach_keeps_no_job_from_running(command: Command, disks: Disks) -> None:
    put_job(command, disks)
    command.run("sync", "travel")
    with as_nobody(LOCK_ALL, str(command.state), str(command.config), RUN_DIR) as locker:
        assert locker.stdout is not None
        assert int(locker.stdout.readline()) > 0
        command.run("sync", "travel")
        locker.kill()
    assert [run["error_kind"] for run in command.history("travel")] == [None, None]


def test_a_run_directory_of_another_user_is_refused(command: Command, disks: Disks) -> None:
    os.chown(RUN_DIR, NOBODY, NOBODY)
    try:
        put_job(command, disks)
        shown = command.run("sync", "travel", code=ERROR).stderr
        with Driven(**request(disks)) as driven:
            end = driven.end()
    finally:
        os.chown(RUN_DIR, 0, 0)
    assert shown.count(RUN_DIR) == 1
    assert f"{RUN_DIR} is not to be trusted: it belongs to user {NOBODY}." in shown
    assert end["kind"] == "untrusted"


def request(disks: Disks) -> dict[str, str]:
    return {"source": disks[0].identifier, "target": disks[1].identifier, "engine": "native"}


@needs_fuse
def test_what_a_fuse_mount_calls_its_source_is_no_use_of_a_disk(tmp_path: Path, disks: Disks) -> None:
    mounts = []
    try:
        for index, device in enumerate([disks[0].partition(2), disks[1].path, disks[1].partition(2)]):
            (tmp_path / str(index)).mkdir()
            mounts.append(FuseMount(tmp_path / str(index), device))
        with Driven(**request(disks)) as driven:
            end = driven.end()
    finally:
        for mount in mounts:
            mount.close()
    assert end["step"] == "done", end
    assert_equal(*disks)


def test_a_forged_identifier_on_a_loop_device_gets_no_backup(command: Command, disks: Disks) -> None:
    put_job(command, disks, loop_devices=False, when_absent="fail")
    before = content(disks[1].partition(2))
    done = command.run("sync", "travel", code=ABSENT)
    assert f"{disks[1].path} (PTUUID {disks[1].identifier}" in done.stderr
    assert "made of a file" in done.stderr
    assert content(disks[1].partition(2)) == before


def test_a_user_cannot_hang_the_metrics(command: Command, disks: Disks, place: Path) -> None:
    directory = place / "textfile"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    put_job(command, disks, textfile_dir=str(directory))
    trap = "[os.mkfifo(os.path.join(sys.argv[1], name)) for name in sys.argv[2:]]"
    with as_nobody(trap, str(directory), ".blksync_travel.prom.new") as trapper:
        trapper.wait(PATIENCE)
    command.run("sync", "travel")
    assert (directory / "blksync_travel.prom").is_file()
    (directory / "blksync_travel.prom").unlink()
    with as_nobody(trap, str(directory), "blksync_travel.prom") as trapper:
        trapper.wait(PATIENCE)
    done = command.run("sync", "travel")
    assert "metrics were not written" in done.stderr
    assert "not a regular file" in done.stderr


@pytest.mark.parametrize("arguments", [("sync", "travel"), ("sync", "travel", "--check"), ("verify", "travel")])
def test_an_ordinary_user_is_told_once_what_needs_root(
    command: Command, disks: Disks, arguments: tuple[str, ...]
) -> None:
    put_job(command, disks)
    code, out, err = run_as_nobody(command, *arguments)
    assert (code, out) == (NEEDS_ROOT, "")
    assert err.splitlines()[0] == f"blksync: blksync {arguments[0]} needs root."
    assert len(err.splitlines()) == 2
    assert run_as_nobody(command, "restore-state")[0] == NEEDS_ROOT


def test_an_ordinary_user_sees_status_and_what_disks_can_show(command: Command, disks: Disks) -> None:
    put_job(command, disks)
    command.run("sync", "travel")
    code, out, err = run_as_nobody(command, "status", "--json")
    assert (code, err) == (OK, "")
    assert [disk["state"] for disk in json.loads(out)["jobs"][0]["disks"]] == ["complete"]
    code, out, err = run_as_nobody(command, "disks")
    assert code == OK
    assert disks[0].path in out
    assert "may not read" in err
    assert disks[0].path in err
    assert command.run("disks").stderr == ""


def test_a_run_waits_for_another_on_the_same_disk(command: Command, disks: Disks) -> None:
    with (
        PartitionedDisk(THIRD, SIZES) as third,
        Driven(**request(disks), hold_at="advanced:1") as first,
    ):
        first.wait_for("holding")
        command.put_job("travel", disks[0].identifier, third.identifier)
        argv = command.argv("sync", "travel")
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True) as second:
            assert second.stderr is not None
            line = second.stderr.readline()
            assert line.startswith("Waiting for another run to end: %s" % disks[0].path), line
            assert f"process {first.process.pid}, copying {disks[0].path} to {disks[1].path}" in line
            first.go_on()
            assert first.end()["step"] == "done"
            _out, err = second.communicate(timeout=PATIENCE)
            assert (second.returncode, err) == (OK, "")
        assert_equal(*disks)
        assert_equal(disks[0], third)


def test_two_runs_in_opposite_directions_do_not_wait_for_each_other(disks: Disks) -> None:
    there, back = request(disks), request((disks[1], disks[0]))
    ends: list[str] = []

    def run(options: dict[str, str]) -> None:
        with Driven(**options) as driven:
            ends.append(driven.end()["step"])

    for _turn in range(5):
        threads = [threading.Thread(target=run, args=[options]) for options in (there, back)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert ends == ["done"] * 10
    assert_equal(*disks)


@needs_fuse
@pytest.mark.needs("mkfs.ext4")
@pytest.mark.parametrize("quiesce", ["freeze", "live"])
def test_a_write_that_waits_for_a_dead_fuse_file_does_not_hold_up_the_freeze(place: Path, quiesce: str) -> None:
    (place / "fuse").mkdir()
    (place / "pair").mkdir()
    with MountedPair(place / "pair") as pair, FuseMount(place / "fuse") as mount:
        before = pair.mounts()
        file = pair.root / "written"
        file.touch()
        os.chown(file, NOBODY, NOBODY)
        with (
            StuckWriter(mount, file) as writer,
            DrivenQuiesce(**pair.request(partitions=[2], quiesce=quiesce, quiesce_timeout=3600)) as driven,
        ):
            number = mount.number
            end = driven.end()
            assert end["step"] == "done", end
            assert writer.process.wait(PATIENCE) == 0  # the write failed or ended short, and the process went on
        pair.assert_restored(before)
    (warning,) = [warning for warning in end["warnings"] if "FUSE" in warning]
    assert f"process {writer.process.pid} (" in warning
    assert f"of user {NOBODY} " in warning
    assert f"/sys/fs/fuse/connections/{number}/abort" in warning
    assert end["partitions"][0]["frozen_seconds"] >= STUCK_PATIENCE


@needs_fuse
@pytest.mark.needs("mkfs.ext4")
def test_a_fuse_file_system_that_nobody_waits_for_is_left_alone(place: Path) -> None:
    """A write that hangs for another reason is no reason to abort what else is slow."""
    (place / "fuse").mkdir()
    (place / "pair").mkdir()
    with MountedPair(place / "pair") as pair, FuseMount(place / "fuse") as mount, SlowReader(mount) as reader:
        with (
            HungWriter(pair.root) as hung,
            DrivenQuiesce(**pair.request(partitions=[2], quiesce_timeout=3600)) as driven,
        ):
            driven.wait_for("quiescing:2")
            begun = time.monotonic()
            wait_for(lambda: time.monotonic() > begun + 2 * STUCK_PATIENCE)
            hung.end()
            end = driven.end()
        assert end["step"] == "done", end
        assert [warning for warning in end["warnings"] if "FUSE" in warning] == []
        assert reader.process.poll() is None


@contextmanager
def image_in(pair: MountedPair, mountpoint: Path) -> Iterator[LoopDevice]:
    """A loop device over a file in the file system that will be frozen."""
    mountpoint.mkdir()
    with LoopDevice(8 * MIB, pair.root) as image:
        try:
            yield image
        finally:
            subprocess.run(["umount", str(mountpoint)], capture_output=True, check=False)


def sync_root(pair: MountedPair) -> dict[str, Any]:
    with DrivenQuiesce(**pair.request(partitions=[2])) as driven:
        return driven.end()


@needs_fuse
@pytest.mark.needs("mkfs.ext4")
def test_an_image_that_a_user_has_mounted_by_fuse_does_not_refuse_the_backup(tmp_path: Path) -> None:
    (tmp_path / "pair").mkdir()
    with MountedPair(tmp_path / "pair") as pair, image_in(pair, tmp_path / "image") as image:
        with FuseMount(tmp_path / "image", image.path, "fuseblk"):
            end = sync_root(pair)
        assert end["step"] == "done", end
        (warning,) = [warning for warning in end["warnings"] if image.path in warning]
        assert "as after a power cut" in warning
        assert [entry["mountpoints"] for entry in end["partitions"][0]["quiesce"]] == [[str(pair.root)]]


@pytest.mark.needs("mkfs.ext4")
def test_a_file_system_in_an_image_is_frozen_as_well(tmp_path: Path) -> None:
    (tmp_path / "pair").mkdir()
    with MountedPair(tmp_path / "pair") as pair, image_in(pair, tmp_path / "image") as image:
        run("mkfs.ext4", "-q", image.path)
        run("mount", image.path, str(tmp_path / "image"))
        (tmp_path / "image" / "file").write_text("written a moment before\n")
        end = sync_root(pair)
        assert end["step"] == "done", end
        places = [entry["mountpoints"] for entry in end["partitions"][0]["quiesce"]]
        assert places == [[str(tmp_path / "image")], [str(pair.root)]]
        run("blockdev", "--flushbufs", pair.target.partition(2))
        run("mount", "-o", "ro,noload", pair.target.partition(2), str(pair.copy))
        try:
            assert "written a moment before" in run("debugfs", "-R", "cat /file", str(pair.copy / image.file.name))
        finally:
            run("umount", str(pair.copy))


@pytest.mark.needs("mkfs.ext4", "xfs_io")
def test_an_image_with_a_broken_file_system_does_not_fail_the_backup(tmp_path: Path) -> None:
    """Whoever may mount an image may mount one that fails."""
    (tmp_path / "pair").mkdir()
    with MountedPair(tmp_path / "pair") as pair, image_in(pair, tmp_path / "image") as image:
        run("mkfs.ext4", "-q", image.path)
        run("mount", image.path, str(tmp_path / "image"))
        run("xfs_io", "-x", "-c", "shutdown", str(tmp_path / "image"))
        end = sync_root(pair)
        assert end["step"] == "done", end
        assert [entry["mountpoints"] for entry in end["partitions"][0]["quiesce"]] == [[str(pair.root)]]
