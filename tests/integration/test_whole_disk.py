# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole source or a named part of it, on real disks of three partitions: what is refused, copied and said."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import RefusedError
from blksync.options import SyncRequest
from blksync.sync import disk_sync
from blksync.sync.result import SyncReport
from tests.support.ansible import run_module, run_playbook
from tests.support.blocks import content, fill
from tests.support.command import Command
from tests.support.disks import MIB, SECTOR, LoopDevice, PartitionedDisk, drop_partitions, identifiers, run

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")
SIZES = (4 * MIB // SECTOR, 6 * MIB // SECTOR + 3, 8 * MIB // SECTOR)
TYPES = ("ef", "83", "83")
SOURCE, TARGET = identifiers()
Disks = tuple[PartitionedDisk, PartitionedDisk]


@contextmanager
def target_disk(sizes: tuple[int, ...] = SIZES, types: tuple[str, ...] = TYPES) -> Iterator[PartitionedDisk]:
    with PartitionedDisk(TARGET, sizes, gap=4096, types=types) as made:
        yield made


@pytest.fixture
def source() -> Iterator[PartitionedDisk]:
    with PartitionedDisk(SOURCE, SIZES, types=TYPES) as made:
        for number in (1, 2):
            fill(made.partition(number))
        run("mkfs.ext4", "-q", "-L", "third", made.partition(3))
        yield made


@pytest.fixture
def disks(source: PartitionedDisk) -> Iterator[Disks]:
    with target_disk() as target:
        yield source, target


def request(**options: Any) -> SyncRequest:
    return SyncRequest(**{"source": SOURCE, "target": TARGET, "engine": "native", **options})


def refused(**options: Any) -> dict[str, str]:
    """The hints of a sync's refusals by their codes."""
    with pytest.raises(RefusedError) as caught:
        disk_sync.run(request(**options))
    return {refusal.code: refusal.hint for refusal in caught.value.refusals}


def synced(**options: Any) -> SyncReport:
    return disk_sync.run(request(**options))


def follow(hint: str, target: LoopDevice) -> None:
    """Run the command that a hint ends with; here no udev makes the kernel's partitions anew."""
    done = subprocess.run(
        hint[hint.lower().index("run: ") + 5 :], shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    drop_partitions(target.path)
    run("partx", "-a", target.path)


def assert_copied(source: PartitionedDisk, target: PartitionedDisk, *numbers: int) -> None:
    for number in numbers:
        assert content(source.partition(number)) == content(target.partition(number)), number


def test_the_whole_is_copied_and_then_unchanged(disks: Disks) -> None:
    first = run_module("disk_sync", {"source": SOURCE, "target": TARGET, "partitions": "all"})
    assert (first["changed"], first["left_out"]) == (True, [])
    assert [pair["number"] for pair in first["partitions"]] == [1, 2, 3]
    assert_copied(*disks, 1, 2, 3)
    assert not synced(partitions="all").changed


@pytest.mark.parametrize("check", [True, False])
def test_what_is_left_out_is_in_the_result(disks: Disks, tmp_path: Path, check: bool) -> None:
    untouched = content(disks[1].partition(3))
    third = disks[0].partition(3)
    run("mount", third, str(tmp_path))
    try:
        done = run_module("disk_sync", {"source": SOURCE, "target": TARGET}, check=check, diff=True)
    finally:
        run("umount", str(tmp_path))
    (entry,) = done["left_out"]
    assert entry == {
        "number": 3,
        "path": third,
        "size": 8 * MIB,
        "fstype": "ext4",
        "label": "third",
        "mountpoints": [str(tmp_path)],
    }
    assert f"partition 3 ({tmp_path}, 8.0 MiB) is left out" in done["diff"]["after"]
    assert content(disks[1].partition(3)) == untouched


def test_the_whole_needs_every_partition_on_the_target(source: PartitionedDisk) -> None:
    with target_disk(SIZES[:2], TYPES[:2]):
        assert list(refused(partitions="all")) == ["partition_missing"]
        assert [entry.number for entry in synced().left_out] == [3]


def test_another_type_is_a_warning_or_a_refusal_until_mended(source: PartitionedDisk) -> None:
    with target_disk(types=("83", "83", "83")) as target:
        (warning,) = synced().warnings
        assert warning.endswith("Run: sfdisk --part-type %s 1 ef" % target.path)
        hints = refused(partitions="all")
        assert list(hints) == ["type_differs"]
        follow(hints["type_differs"], target)
        assert synced(partitions="all").warnings == []
        assert_copied(source, target, 1, 2, 3)


@pytest.mark.parametrize("size", [SIZES[1] - 8, SIZES[1] + 1024])
def test_the_line_for_another_size_mends_it(source: PartitionedDisk, size: int) -> None:
    with target_disk((SIZES[0], size, SIZES[2])) as target:
        hints = refused()
        assert list(hints) == ["size_differs"]
        follow(hints["size_differs"], target)
        assert synced(partitions="all").warnings == []  # the type is as it was
        assert_copied(source, target, 1, 2, 3)


@pytest.mark.parametrize("table", ["dos", "gpt"])
def test_a_blank_target_is_one_refusal_with_a_way_out(table: str) -> None:
    identifier = SOURCE if table == "dos" else "0badf00d-0000-4000-8000-0000%s" % SOURCE
    types = TYPES if table == "dos" else ("uefi", "linux", "linux")
    with PartitionedDisk(identifier, SIZES, table, types=types) as source, LoopDevice(64 * MIB) as target:
        fill(source.partition(2))
        hints = refused(source=identifier, target=target.path)
        assert list(hints) == ["target_has_no_table"]
        follow(hints["target_has_no_table"], target)
        assert synced(source=identifier, target=target.path, partitions="all").left_out == []
        assert Path(source.partition(2)).read_bytes() == Path(target.path + "p2").read_bytes()


def test_a_blank_source_is_one_refusal(source: PartitionedDisk) -> None:
    with LoopDevice(8 * MIB) as blank:
        assert list(refused(source=blank.path, target=SOURCE)) == ["source_has_no_table"]


def test_logical_partitions_are_pairs_and_their_container_is_none() -> None:
    table = "label: dos\nlabel-id: 0x%s\n,4M,ef\n,,E\n,3M\n,5M\n"
    with LoopDevice(32 * MIB) as source, LoopDevice(32 * MIB) as target:
        for disk, identifier in ((source, SOURCE), (target, TARGET)):
            run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk.path, stdin=table % identifier)
            drop_partitions(disk.path)
            run("partx", "-a", disk.path)
        fill(source.path + "p6")
        assert [pair.pair.number for pair in synced(partitions="all").pairs] == [1, 5, 6]
        assert content(source.path + "p6") == content(target.path + "p6")
        assert [entry.number for entry in synced(partitions=(1, 5)).left_out] == [6]


def test_the_running_system_is_not_left_out(disks: Disks) -> None:
    """This process has mounts of its own: in them the third partition is the system's /boot."""
    run("mount", disks[0].partition(3), "/boot")
    try:
        assert "partitions to 1,2,3, or to all" in refused()["system_left_out"]
        assert list(refused(check=True)) == ["system_left_out"]
        assert synced(partitions=(1, 2, 3)).left_out == []
    finally:
        run("umount", "/boot")
    assert [entry.number for entry in synced().left_out] == [3]


def test_the_command_speaks_of_the_whole_only_for_the_whole(disks: Disks, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = Command(tmp_path)
    command.put_job("part", SOURCE, TARGET)
    command.put_job("whole", SOURCE, TARGET, partitions="all")
    missing = 'partition 3 ("third", ext4, 8.0 MiB)'
    checked = command.run("sync", "part", "--check").stdout
    assert checked.endswith(f"  {missing}: left out\n")
    shown = command.run("sync", "part").stdout
    assert shown.endswith(f"Partitions 1 and 2 are complete; {missing} was not copied. The disk can be disconnected.\n")
    assert f"  {missing}: left out\n" in command.run("verify", "part").stdout
    assert command.json("sync", "part")["results"][0]["left_out"][0]["number"] == 3
    for arguments in (("whole",), ("--source", SOURCE, "--target", TARGET, "--partitions", "all", "--yes")):
        shown = command.run("sync", *arguments).stdout
        assert shown.endswith("The backup disk is complete and can be disconnected.\n")
    assert_copied(*disks, 1, 2, 3)


def test_the_playbook_speaks_of_the_whole_only_for_the_whole(disks: Disks) -> None:
    variables = {"blksync_hosts": "localhost", "blksync_source": SOURCE, "blksync_target": TARGET}
    part = run_playbook("blksync.backup.sync_backup_disk", {**variables, "blksync_partitions": "1,2"})
    assert part.returncode == 0, part.output
    assert (
        "equals the main disk in partitions 1 and 2 but not in partition 3 (third, ext4, 8.0 MiB) "
        "and can be disconnected." in part.output
    )
    whole = run_playbook("blksync.backup.sync_backup_disk", {**variables, "blksync_partitions": "all"})
    assert whole.returncode == 0, whole.output
    assert "equals the main disk and can be disconnected." in whole.output
    assert_copied(*disks, 1, 2, 3)
