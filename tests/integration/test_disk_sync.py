# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module disk_sync through real Ansible on real block devices."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import NAMESPACE, run_module, run_playbook
from tests.support.blocks import assert_equal, content, fill
from tests.support.disks import MIB, SECTOR, LoopDevice, PartitionedDisk, identifiers, run

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (4 * MIB // SECTOR, 16 * MIB // SECTOR + 3)
SOURCE, TARGET = identifiers()
DISKS = {"source": SOURCE, "target": TARGET}
ENGINES = [
    "native",
    pytest.param(
        "blocksync_fast",
        marks=pytest.mark.skipif(
            not (os.environ.get("BLOCKSYNC_FAST") or shutil.which("blocksync-fast")),
            reason="blocksync-fast is not installed",
        ),
    ),
]


@contextlib.contextmanager
def two_disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        for number in (1, 2):
            fill(source.partition(number))
        yield source, target


@pytest.fixture
def disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    with two_disks() as made:
        yield made


def sync(*, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    return run_module("disk_sync", {**DISKS, **options}, check=check, diff=diff)


@pytest.mark.parametrize("engine", ENGINES)
def test_check_first_second_and_changed_run(disks: tuple[PartitionedDisk, PartitionedDisk], engine: str) -> None:
    predicted = sync(engine=engine, check=True, diff=True)
    assert predicted["changed"]
    first = sync(engine=engine)
    assert first["changed"]
    assert first["engine"]["name"] == engine
    assert first["bytes_written"] == predicted["bytes_written"]
    assert_equal(*disks)
    second = sync(engine=engine)
    assert (second["changed"], second["bytes_written"]) == (False, 0)

    size = SIZES[1] * SECTOR
    for offset in (0, 5 * MIB, size // 4096 * 4096 - 4096, size - 100):  # the last whole block and the short one, too
        fill(disks[0].partition(2), offset, 100)
    expected = 3 * 4096 + size % 4096
    predicted = sync(engine=engine, check=True, diff=True)
    assert predicted["bytes_written"] == expected
    third = sync(engine=engine, diff=True)
    assert third["bytes_written"] == expected
    assert third["diff"] == predicted["diff"]
    assert "differs from" in third["diff"]["before"].splitlines()[1]
    assert [pair["blocks_changed"] for pair in third["partitions"]] == [0, 4]
    assert_equal(*disks)


def test_disks_of_different_tables_and_layout(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    guid = "0badf00d-0000-4000-8000-00000badf00d"
    with PartitionedDisk(guid, SIZES, table="gpt", gap=6144) as other:
        assert sync(target=guid)["changed"]
        assert_equal(disks[0], other)
        assert not sync(target=guid.upper())["changed"]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"source": 11111111}, "invalid_request", "quote it"),
    ({"target": 342391}, "invalid_request", "01234567"),
    ({"target": 0x11111111}, "invalid_request", "0x11111111"),
    ({"protected": [342391]}, "invalid_request", "quote it"),
    ({"target": "deadbeef"}, "refused", "No disk has the PTUUID deadbeef"),
    ({"target": SOURCE}, "refused", "the same disk"),
    ({"partitions": [1, 3]}, "refused", "has no partition 3"),
    ({"partitions": [2, 2]}, "invalid_request", "more than once"),
    ({"partitions": []}, "invalid_request", "empty"),
    ({"partitions": None}, "invalid_request", "holds null"),
    ({"partitions": True}, "invalid_request", "holds true"),
    ({"partitions": [1, 2.0]}, "invalid_request", "holds 2.0"),
    ({"partitions": ["1", "two"]}, "invalid_request", 'holds "two"'),
    ({"partitions": "1, 2, 3"}, "refused", "has no partition 3"),
    ({"partitions": ["1", "3"]}, "refused", "has no partition 3"),
    ({"partitions": 3}, "refused", "has no partition 3"),
    ({"protected": [TARGET]}, "refused", "is protected"),
    ({"power_off": True}, "refused", "cannot be powered off"),
    ({"quiesce_timeout": 0}, "invalid_request", "at least 1"),
    ({"quiesce_timeout": 604801}, "invalid_request", "at most 604800"),
    ({"scope": "used", "engine": "blocksync_fast"}, "invalid_request", "whole partitions only"),
    ({"partitions": [0], "target": "the big one"}, "invalid_request", "'the big one' is no disk identifier"),
    ({"partitions": [0], "target": "the big one"}, "invalid_request", "partition numbers start at 1"),
]


@pytest.fixture(scope="module")
def refusals() -> list[dict[str, Any]]:
    """The results of all of REFUSED, by one playbook; none of them may write."""
    tasks: list[dict[str, Any]] = [
        {"name": f"Refuse {number}", f"{NAMESPACE}.disk_sync": {**DISKS, **options}, "ignore_errors": True}
        for number, (options, _kind, _words) in enumerate(REFUSED)
    ]
    with tempfile.TemporaryDirectory() as directory, two_disks() as (_source, target):
        playbook = Path(directory, "play.yml")
        playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        before = [content(target.partition(number)) for number in (1, 2)]
        run = run_playbook(playbook)
        assert [task.status for task in run.tasks] == ["failed"] * len(REFUSED)
        assert [content(target.partition(number)) for number in (1, 2)] == before
    return [run.result(task["name"]) for task in tasks]


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[f"{kind}-{words}" for _options, kind, words in REFUSED])
def test_refused(refusals: list[dict[str, Any]], number: int) -> None:
    _options, kind, words = REFUSED[number]
    assert refusals[number]["kind"] == kind
    assert words in refusals[number]["msg"]


def test_all_reasons_are_reported_together(disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path) -> None:
    target = disks[1]
    run("mkfs.ext4", "-q", target.partition(2))
    run("mount", target.partition(2), str(tmp_path))
    try:
        failed = sync(partitions=[1, 2, 7], protected=[TARGET])
        checked = sync(partitions=[1, 2, 7], protected=[TARGET], check=True)
    finally:
        run("umount", str(tmp_path))
    codes = [refusal["code"] for refusal in failed["refusals"]]
    assert codes == ["target_protected", "target_mounted", "partition_missing", "partition_missing"]
    assert str(tmp_path) in failed["msg"]
    assert [refusal["code"] for refusal in checked["refusals"]] == codes


def test_sizes_that_differ_by_a_sector(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    with PartitionedDisk("0badd15c", (SIZES[0], SIZES[1] + 1)):
        failed = sync(target="0badd15c")
    assert [refusal["code"] for refusal in failed["refusals"]] == ["size_differs"]
    assert str(SIZES[1] * SECTOR) in failed["msg"]
    assert str((SIZES[1] + 1) * SECTOR) in failed["msg"]


def test_two_disks_of_the_same_identifier(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    with PartitionedDisk(TARGET, SIZES) as twin:
        failed = sync()
    assert [refusal["code"] for refusal in failed["refusals"]] == ["target_disk_ambiguous"]
    assert disks[1].path in failed["msg"]
    assert twin.path in failed["msg"]


def test_a_target_that_is_read_only(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    run("blockdev", "--setro", disks[1].path)
    failed = sync()
    run("blockdev", "--setrw", disks[1].path)
    assert "target_read_only" in [refusal["code"] for refusal in failed["refusals"]]


def test_a_target_partition_used_as_swap(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    run("mkswap", disks[1].partition(2))
    run("swapon", disks[1].partition(2))
    try:
        failed = sync()
    finally:
        run("swapoff", disks[1].partition(2))
    assert [refusal["code"] for refusal in failed["refusals"]] == ["target_swap"]


def test_a_target_that_lives_on_the_source(tmp_path: Path) -> None:
    with LoopDevice(96 * MIB) as outer:
        run("mkfs.ext4", "-q", outer.path)
        run("mount", outer.path, str(tmp_path))
        try:
            with PartitionedDisk("0badfee1", SIZES, directory=tmp_path):
                failed = run_module("disk_sync", {"source": outer.path, "target": "0badfee1"})
        finally:
            run("umount", str(tmp_path))
    assert "stacked_disks" in [refusal["code"] for refusal in failed["refusals"]]


def test_a_source_mounted_read_write_with_quiesce_none(
    disks: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path
) -> None:
    run("mkfs.ext4", "-q", disks[0].partition(2))
    run("mount", disks[0].partition(2), str(tmp_path))
    try:
        failed = sync(quiesce="none")
        run("mount", "-o", "remount,ro", str(tmp_path))
        assert sync(quiesce="none")["changed"]
    finally:
        run("umount", str(tmp_path))
    assert [refusal["code"] for refusal in failed["refusals"]] == ["source_in_use"]
    assert_equal(*disks)


def test_a_bare_kernel_name_works_with_a_warning(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    done = sync(target=disks[1].path)
    assert done["changed"]
    assert any("PTUUID" in str(warning) for warning in done["warnings"])


def test_a_missing_program_is_one_error_that_names_the_way_out(
    disks: tuple[PartitionedDisk, PartitionedDisk],
) -> None:
    failed = run_module(
        "disk_sync",
        {**DISKS, "engine": "blocksync_fast"},
        environment={"BLOCKSYNC_FAST": "/nonexistent/blocksync-fast"},
    )
    assert failed["kind"] == "engine_missing"
    assert "native" in failed["msg"]


def test_the_playbook_says_whether_the_disk_can_be_disconnected(
    disks: tuple[PartitionedDisk, PartitionedDisk],
) -> None:
    variables = {"blksync_hosts": "localhost", "blksync_source": SOURCE, "blksync_target": TARGET}
    first = run_playbook("blksync.backup.sync_backup_disk", variables)
    assert first.returncode == 0, first.output
    assert "changed=1" in first.output
    assert "equals the main disk and can be disconnected" in first.output
    variables |= {"blksync_quiesce": "live", "blksync_quiesce_fallback": "false", "blksync_scope": "used"}
    background = run_playbook("blksync.backup.sync_backup_disk", {**variables, "blksync_async": "60"})
    assert background.returncode == 0, background.output
    assert "changed=0" in background.output
    assert "equals the main disk in all that it uses and can be disconnected" in background.output
    (scope, _other) = (
        pair["scope"] for pair in background.result("Make the backup disk equal to the main disk")["partitions"]
    )
    assert scope == {"mode": "all", "reason": {"code": "not_mounted", "message": "its file system is not mounted"}}
    assert_equal(*disks)


def test_the_playbook_stops_without_a_confirmation(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    before = content(disks[1].partition(1))
    variables = {"blksync_hosts": "localhost", "blksync_source": SOURCE, "blksync_target": TARGET}
    asked = run_playbook("blksync.backup.sync_backup_disk", {**variables, "blksync_confirm": True})
    assert asked.returncode != 0
    assert "Not confirmed, nothing was written" in asked.output
    assert content(disks[1].partition(1)) == before


def test_the_playbook_names_what_is_missing() -> None:
    run_without = run_playbook("blksync.backup.sync_backup_disk", {"blksync_hosts": "localhost"})
    assert run_without.returncode != 0
    assert "blksync_source=IDENTIFIER" in run_without.output


def test_the_playbook_names_a_wrong_variable_before_it_begins() -> None:
    variables = {"blksync_hosts": "localhost", "blksync_source": SOURCE, "blksync_target": TARGET}
    wrong = run_playbook("blksync.backup.sync_backup_disk", {**variables, "blksync_engine": "fastest"})
    assert wrong.returncode != 0
    assert "blksync_engine must be one of: auto, native, blocksync_fast" in " ".join(wrong.output.split())
    assert "Do not rely" not in wrong.output
    assert wrong.tasks[-1].task == "Check the variables"


def test_the_playbook_says_what_a_refusal_means(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    variables = {"blksync_hosts": "localhost", "blksync_source": SOURCE, "blksync_target": "deadbeef"}
    refused = run_playbook("blksync.backup.sync_backup_disk", variables)
    assert refused.returncode != 0
    assert "The backup disk is as it was before." in refused.output
