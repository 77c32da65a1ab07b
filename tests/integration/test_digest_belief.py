# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest on real block devices: when it is believed, and that belief never costs a byte."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blksync import discovery, sync
from blksync.request import SyncRequest
from tests.support import digest_disks
from tests.support.blocks import assert_equal, content, fill
from tests.support.digest_disks import SIZES, SOURCE, TARGET, THIRD, Disks, Hardware, used
from tests.support.disks import MIB, PartitionedDisk, run
from tests.support.sync_driver import Driven

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
ENGINES = ["native", "blocksync_fast"]


@pytest.fixture(scope="module")
def hardware() -> Iterator[Hardware]:
    with digest_disks.hardware() as made:
        yield made


@pytest.fixture
def disks(hardware: Hardware, tmp_path: Path) -> Disks:
    return digest_disks.filled(hardware, tmp_path / "digests")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda disks: disks.edit_record(state="unfinished"), "did not come to its end"),
        (lambda disks: disks.edit_record(compared=int(time.time()) - 31 * 24 * 3600), "full comparison"),
        (lambda disks: disks.edit_record(runs=99), "full comparison"),
        (lambda disks: disks.edit_record(binding={"holds": {"uuid": "1234"}}), "changed by something else"),
        (lambda disks: disks.edit_record(binding={"target": {"serial": "1234"}}), "another target"),
        (lambda disks: disks.edit_record(binding={"source": {"ptuuid": "1234"}}), "another source"),
        (lambda disks: disks.edit_record(binding={"size": 4096}), "another size"),
        (lambda disks: disks.edit_record(binding={"engine": "native 0.0.1"}), "native 0.0.1"),
        (lambda disks: disks.edit_record(format=2), "record is not readable"),
        (lambda disks: disks.record().unlink(), "record is not readable"),
        (lambda disks: disks.record().write_text("{"), "record is not readable"),
        (lambda disks: disks.digests()[1].unlink(), "cannot be used"),
        (lambda disks: os.truncate(disks.digests()[1], 600), "cannot be used"),
        (lambda disks: overwrite(disks.digests()[1], 24, bytes(8)), "cannot be used"),
        (lambda disks: overwrite(disks.digests()[1], 700, b"x"), "not the file that was written"),
        (lambda disks: overwrite(disks.digests()[1], 56, (9999).to_bytes(8, "little")), "9999"),
        (lambda disks: disks.digests()[1].write_bytes(disks.digests()[0].read_bytes()), "not the file"),
        (lambda disks: swap_for_link(disks.digests()[1]), "cannot be used"),
    ],
)
def test_whatever_does_not_fit_means_a_full_comparison_and_a_new_digest(
    disks: Disks, damage: Callable[[Disks], object], words: str
) -> None:
    disks.sync()
    fill(disks.target.partition(2), 4 * MIB + 8192, 10 * 4096)  # a believed digest would miss it
    damage(disks)
    result = disks.sync()
    assert used(result) == [True, False]
    assert words in result["partitions"][1]["digest"]["reason"]
    assert words in result["partitions"][1]["notes"][-1]
    assert result["bytes_written"] == 10 * 4096
    assert_equal(disks.source, disks.target)
    assert used(disks.sync()) == [True, True]


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def swap_for_link(path: Path) -> None:
    other = path.with_suffix(".elsewhere")
    path.rename(other)
    path.symlink_to(other)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_without_the_digest_takes_the_belief_from_it(disks: Disks, engine: str) -> None:
    before = content(disks.source.partition(2))[8 * MIB + 8192 : 8 * MIB + 12288]
    disks.sync(engine=engine)
    fill(disks.source.partition(2), 8 * MIB + 8192, 4096)
    disks.sync(engine="native", digest_dir="")
    with open(disks.source.partition(2), "r+b") as device:  # what the digest knows, but the target no longer holds
        device.seek(8 * MIB + 8192)
        device.write(before)
    third = disks.sync(engine=engine)
    assert "changed by something else" in third["partitions"][1]["digest"]["reason"]
    assert third["bytes_written"] == 4096
    assert_equal(disks.source, disks.target)


def test_a_backup_that_was_mounted_for_writing_is_compared_again(disks: Disks, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", disks.source.partition(2))
    disks.sync()
    folder = tmp_path / "mounted"
    folder.mkdir()
    run("mount", disks.target.partition(2), str(folder))
    run("umount", str(folder))
    again = disks.sync()
    assert used(again) == [True, False]
    assert again["changed"]
    assert_equal(disks.source, disks.target)
    fill(disks.target.partition(2))  # the next test's view of the machine shall not show a file system here


def test_old_digest_new_disk_upstream_issue_18(disks: Disks) -> None:
    """The backup disk dies and a new one with the same partition table takes its place: nothing of it is up to date."""

    def one_sync(target: PartitionedDisk) -> dict[str, Any]:
        machine = discovery.observe()
        options: dict[str, Any] = {"quiesce": "none", "engine": "native", "digest_dir": str(disks.folder)}
        result = sync.run(SyncRequest(SOURCE, THIRD, **options), observe=lambda: machine).as_dict()
        assert_equal(disks.source, target)
        return result

    with PartitionedDisk(THIRD, SIZES) as old:
        one_sync(old)
        assert used(one_sync(old)) == [True, True]
    with PartitionedDisk(THIRD, SIZES) as new:
        for number in (1, 2):
            fill(new.partition(number))
        result = one_sync(new)
        assert used(result) == [False, False]
        assert "another target" in result["partitions"][0]["digest"]["reason"]
        assert used(one_sync(new)) == [True, True]


def test_an_old_digest_with_the_disk_of_an_older_backup(disks: Disks) -> None:
    """Two backup disks take turns: each has a digest of its own, or none."""
    with PartitionedDisk(THIRD, SIZES) as other:
        both = Disks(disks.source, disks.target, disks.folder)

        def to_other() -> dict[str, Any]:
            request = SyncRequest(SOURCE, THIRD, quiesce="none", engine="native", digest_dir=str(disks.folder))
            return sync.run(request, observe=lambda: both.machine).as_dict()

        for turn in range(3):
            fill(disks.source.partition(2), turn * MIB, 4096)
            assert used(both.sync()) == [turn > 0] * 2
            fill(disks.source.partition(2), turn * MIB + 8192, 4096)
            assert used(to_other()) == [turn > 0] * 2
            assert_equal(disks.source, other)
        assert used(both.sync()) == [True, True]
        assert_equal(disks.source, disks.target)


def test_another_file_system_on_the_target_is_noticed(disks: Disks) -> None:
    run("mkfs.ext4", "-q", disks.source.partition(2))
    fresh = Disks(disks.source, disks.target, disks.folder)
    fresh.sync()
    again = Disks(disks.source, disks.target, disks.folder)
    assert used(again.sync()) == [True, True]
    run("mkfs.ext4", "-q", disks.target.partition(2))
    result = Disks(disks.source, disks.target, disks.folder).sync()
    assert used(result) == [True, False]
    assert_equal(disks.source, disks.target)


def test_a_target_without_a_serial_number_is_always_compared(disks: Disks) -> None:
    nameless = tuple(replace(disk, backing_file=None) for disk in disks.machine.disks)
    disks.machine = replace(disks.machine, disks=nameless)
    for _run in range(2):
        result = disks.sync()
        assert used(result) == [False, False]
    assert "serial number" in result["partitions"][0]["notes"][-1]


@pytest.mark.parametrize("step", ["started:2", "advanced:1", "advanced:2", "verifying:2"])
def test_a_killed_run_leaves_no_digest_to_believe(disks: Disks, step: str) -> None:
    disks.sync()
    fill(disks.source.partition(2), 0, 10 * MIB)
    request = {"source": SOURCE, "target": TARGET, "engine": "native", "digest_dir": str(disks.folder)}
    with Driven(**request, hold_at=step) as driven:
        driven.wait_for("holding")
        driven.process.kill()
    result = disks.sync()
    assert used(result)[0] is (step != "advanced:1")
    assert used(result)[1] is (step in ("advanced:1", "started:2"))  # not yet begun
    for pair in result["partitions"]:
        assert pair["digest"]["used"] or "did not come to its end" in pair["digest"]["reason"]
    assert_equal(disks.source, disks.target)
    assert not list(disks.folder.glob("*.new"))


def test_a_target_that_does_not_keep_what_is_written_leaves_no_digest_to_believe(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blksync.engines.evidence import BlockEvidence
    from blksync.errors import VerificationError

    disks.sync()
    fill(disks.source.partition(2), 0, MIB)

    def fails(*_arguments: object) -> int:
        raise VerificationError("not kept")

    with monkeypatch.context() as patched:
        patched.setattr(BlockEvidence, "verify", fails)
        with pytest.raises(VerificationError):
            disks.sync()
    assert used(disks.sync()) == [True, False]
