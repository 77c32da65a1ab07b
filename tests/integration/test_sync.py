# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of a sync on real block devices: claims, cancellation, check mode, what is refused at the last moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.model import Disk
from tests.support.blocks import assert_equal, content, fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.sync_driver import ROOT, Driven

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (8 * MIB // SECTOR, 24 * MIB // SECTOR + 7)
SOURCE, TARGET = identifiers()
REQUEST = {"source": SOURCE, "target": TARGET, "engine": "native"}


@pytest.fixture
def disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        for number in (1, 2):
            fill(source.partition(number))
        yield source, target


def sync(**options: object) -> dict:
    with Driven(**{**REQUEST, **options}) as driven:
        return driven.end()


def test_first_second_and_changed_run(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    source, target = disks
    first = sync()
    assert first["step"] == "done"
    assert first["changed"]
    assert_equal(source, target)
    assert [pair["complete"] for pair in first["partitions"]] == [True, True]
    assert [pair["bytes_compared"] for pair in first["partitions"]] == [size * SECTOR for size in SIZES]
    second = sync()
    assert not second["changed"]
    assert second["bytes_written"] == 0
    fill(source.partition(2), offset=4096 * 10, length=4096 * 3)
    assert sync(check=True)["bytes_written"] == 3 * 4096
    third = sync()
    assert (third["changed"], third["bytes_written"]) == (True, 3 * 4096)
    assert [pair["blocks_changed"] for pair in third["partitions"]] == [0, 3]
    assert_equal(source, target)


def test_only_the_named_partitions_are_touched(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    before = content(disks[1].partition(1))
    assert [pair["number"] for pair in sync(partitions=[2])["partitions"]] == [2]
    assert content(disks[1].partition(1)) == before


def test_verify_full_reads_every_byte_back(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    sync()
    full = sync(verify="full")
    assert [pair["verified"]["bytes_read"] for pair in full["partitions"]] == [size * SECTOR for size in SIZES]
    assert not full["changed"]


def test_a_target_cannot_be_mounted_while_it_is_written(
    disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path
) -> None:
    source, target = disks
    run("mkfs.ext4", "-q", source.partition(2))
    sync()  # now the target carries a file system that could be mounted
    fill(source.partition(1))
    with Driven(**REQUEST, hold_at="advanced:1") as driven:
        driven.wait_for("holding")
        for number in (1, 2):
            attempt = subprocess.run(
                ["mount", target.partition(number), str(tmp_path)], capture_output=True, text=True, check=False
            )
            assert attempt.returncode
            assert "busy" in attempt.stderr
        driven.go_on()
        assert driven.end()["step"] == "done"
    run("mount", "-o", "ro", target.partition(2), str(tmp_path))
    run("umount", str(tmp_path))


def test_the_unmounted_source_cannot_be_mounted_either(
    disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path
) -> None:
    run("mkfs.ext4", "-q", disks[0].partition(2))
    with Driven(**REQUEST, hold_at="advanced:1") as driven:
        driven.wait_for("holding")
        attempt = subprocess.run(["mount", disks[0].partition(2), str(tmp_path)], capture_output=True, check=False)
        assert attempt.returncode
        driven.go_on()
        assert driven.end()["step"] == "done"


def test_a_second_sync_of_the_same_disks_does_not_wait_for_ever(
    disks: tuple[PartitionedDisk, PartitionedDisk],
) -> None:
    with Driven(**REQUEST, hold_at="advanced:1") as first:
        first.wait_for("holding")
        second = sync(wait_limit=1)
        assert second["kind"] == "device_busy"
        assert "process %d" % first.process.pid in second["msg"]
        first.go_on()
        assert first.end()["step"] == "done"
    assert_equal(*disks)


def test_udev_is_kept_from_probing_the_target_while_it_is_written(
    disks: tuple[PartitionedDisk, PartitionedDisk],
) -> None:
    shared = ["flock", "--nonblock", "--shared", disks[1].path, "true"]  # as systemd-udevd does before it probes
    with Driven(**REQUEST, hold_at="advanced:1") as driven:
        driven.wait_for("holding")
        assert subprocess.run(shared, check=False).returncode == 1
        driven.go_on()
        assert driven.end()["step"] == "done"
    assert subprocess.run(shared, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_copy_cleanly_and_a_rerun_ends_equal(
    disks: tuple[PartitionedDisk, PartitionedDisk], number: signal.Signals
) -> None:
    with Driven(**REQUEST, hold_at="advanced:1") as driven:
        driven.wait_for("holding")
        driven.process.send_signal(number)
        driven.go_on()
        end = driven.end()
        assert driven.process.returncode == 1
    assert end["kind"] == "cancelled"
    assert end["report"]["changed"]
    first = end["report"]["partitions"][0]
    assert not first["complete"]
    assert 0 < first["bytes_compared"] <= first["size"]
    assert sync()["changed"]
    assert_equal(*disks)


@pytest.mark.parametrize("step", ["started:1", "advanced:1", "advanced:2", "verifying:2"])
def test_a_killed_sync_can_be_run_again_and_ends_equal(
    disks: tuple[PartitionedDisk, PartitionedDisk], step: str
) -> None:
    with Driven(**REQUEST, hold_at=step) as driven:
        driven.wait_for("holding")
        driven.process.kill()
    assert sync()["step"] == "done"
    assert_equal(*disks)


@pytest.mark.needs("strace")
def test_check_mode_opens_nothing_for_writing_and_creates_nothing(
    disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    run("blockdev", "--setro", disks[0].partition(2))
    argv = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=%file,flock,pwrite64,pwritev,write,fsync"]
    argv += [sys.executable, "-B", "-m", "tests.support.sync_driver", json.dumps({**REQUEST, "check": True})]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.splitlines()[-1])["changed"], done.stderr
    calls = trace.read_text()
    assert re.search(r'openat\([^)]*"%s"' % disks[1].partition(2), calls)  # it did watch
    for line in calls.splitlines():
        if "/dev/null" in line:
            continue
        assert not re.search(r"O_WRONLY|O_RDWR|O_CREAT|\bcreat\(|mkdir|rename|unlink|pwrite|fsync\(|LOCK_EX", line), (
            line
        )


def test_a_read_error_on_the_source_is_reported_with_its_offset(
    disks: tuple[PartitionedDisk, PartitionedDisk],
) -> None:
    source, target = disks
    sync()
    good = content(target.partition(2))
    start = int(Path("/sys/class/block", os.path.basename(source.partition(2)), "start").read_text()) * SECTOR
    bad = 5 * MIB
    os.truncate(source.file, start + bad)
    failed = sync(partitions=[2])
    assert failed["kind"] == "read_error"
    assert "%s at byte %d" % (source.partition(2), bad) in failed["msg"]
    assert content(target.partition(2)) == good  # no rubbish over a good copy


def test_a_disk_that_was_swapped_after_planning_is_noticed(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    with pytest.raises(Exception, match="changed while the run was about to begin") as caught:
        _sync_while_looking_twice(disks[1], lambda disk: replace(disk, serial="OTHER"))
    assert getattr(caught.value, "kind", "") == "device_busy"


def test_a_target_partition_that_is_another_device_after_planning_is_noticed(
    disks: tuple[PartitionedDisk, PartitionedDisk],
) -> None:
    with pytest.raises(Exception, match="changed while the run was about to begin"):
        _sync_while_looking_twice(disks[1], lambda disk: _with_partitions(disk, devno="259:99"))


def test_names_that_udev_learns_after_planning_stop_nothing(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    late = {"label": "late", "uuid": "1234-ABCD", "fstype": "vfat", "partuuid": "late", "links": ("/dev/late",)}
    _sync_while_looking_twice(disks[1], lambda disk: _with_partitions(disk, **late))
    assert_equal(*disks)


def _with_partitions(disk: Disk, **fields: Any) -> Disk:
    return replace(disk, partitions=tuple(replace(partition, **fields) for partition in disk.partitions))


def _sync_while_looking_twice(target: PartitionedDisk, changed: Callable[[Disk], Disk]) -> None:
    """A sync in this process whose second look at the machine sees the target changed."""
    from blksync.discovery.observe import observe as observe_machine
    from blksync.options import SyncRequest
    from blksync.sync import disk_sync

    looks = []

    def observe():
        machine = observe_machine()
        looks.append(machine)
        if len(looks) == 1:
            return machine
        return replace(machine, disks=tuple(changed(d) if d.path == target.path else d for d in machine.disks))

    disk_sync.run(SyncRequest(SOURCE, TARGET, engine="native", quiesce="none"), observe=observe)
