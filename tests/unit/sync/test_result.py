# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sync reports, from what it did."""

from __future__ import annotations

import json

import pytest

from blksync.digests.store import DigestReport
from blksync.discovery.model import Disk
from blksync.errors import Reason
from blksync.options import SyncRequest
from blksync.sync import disk_plan
from blksync.sync.result import ImageReport, SyncReport
from tests.support.machines import disk, machine, partition
from tests.support.reports import sync_report


def report(*changed: int, source: Disk | None = None) -> SyncReport:
    pairs = [{"blocks_total": 100, "blocks_changed": blocks, "bytes_written": blocks * 4096} for blocks in changed]
    return sync_report(*pairs, source=source)


@pytest.mark.parametrize(("blocks", "changed"), [((0, 0), False), ((0, 1), True), ((1, 0), True)])
def test_changed_is_true_exactly_when_a_block_differed(blocks: tuple[int, int], changed: bool) -> None:
    assert report(*blocks).changed is changed


def test_a_pair_that_was_being_written_counts_as_changed() -> None:
    failed = report(0, 0)
    failed.pairs[1].writing = True
    assert failed.changed


def test_diff_is_empty_where_nothing_differs() -> None:
    diff = report(0, 0).diff()
    assert diff["before"] == diff["after"]


def test_diff_has_a_line_a_pair_that_a_person_can_read() -> None:
    diff = report(0, 300).diff()
    assert diff["before"].splitlines() == [
        "partition 1: /dev/sdb1 is equal to /dev/sda1",
        "partition 2: /dev/sdb2 differs from /dev/sda2 in 300 of 100 blocks (1.2 MiB)",
    ]
    assert diff["after"].splitlines()[1] == "partition 2: /dev/sdb2 is equal to /dev/sda2"


THREE = disk("sda", 8, "11111111", *(partition("sda", number, 8, fstype="ext4") for number in (1, 2, 3)))
FOUR = disk("sda", 8, "11111111", *THREE.partitions, partition("sda", 4, 8))


def test_the_diff_names_what_is_left_out() -> None:
    diff = report(0, 300, source=THREE).diff()
    assert diff["before"].splitlines()[2] == diff["after"].splitlines()[2]
    assert diff["after"].splitlines()[2] == "partition 3 (ext4, 64.0 MiB) is left out"


def test_the_result_names_what_is_left_out() -> None:
    assert [entry["number"] for entry in report(0, 0, source=THREE).as_dict()["left_out"]] == [3]
    assert report(0, 0).as_dict()["left_out"] == []


def test_an_image_that_was_made_counts_as_changed() -> None:
    made = disk_plan.make(machine(), SyncRequest("11111111", "22222222"))
    assert ImageReport(made, "native", "0.1.0", check=False, created=True).changed
    assert not ImageReport(made, "native", "0.1.0", check=False).changed


def test_the_result_of_an_image_has_its_digest_and_nothing_of_whole_disks() -> None:
    digest = DigestReport("/srv/a.digest", "XXH128", 4096, used=False, reason=Reason("no_digest", "there is none"))
    disks = sync_report({"digest": digest})
    result = ImageReport(disks.plan, "native", "0.1.0", check=False, pairs=disks.pairs).as_dict()
    assert set(disks.as_dict()) - set(result) == {"left_out", "powered_off"}
    assert result["created"] is False
    assert result["partitions"][0]["digest"]["reason"] == {"code": "no_digest", "message": "there is none"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (THREE, "Partitions 1 and 2 are complete; partition 3 (ext4, 64.0 MiB) was not copied"),
        (FOUR, "Partitions 1 and 2 are complete; partitions 3 (ext4, 64.0 MiB) and 4 (64.0 MiB) were not copied"),
    ],
)
def test_what_was_not_copied_is_said_in_the_same_sentence(source: Disk, text: str) -> None:
    done = report(0, 0, source=source)
    assert done.copied_text() == text
    assert done.copied_text("T7") == text.replace(" complete", " complete on T7")


def test_one_partition_that_was_copied_is_not_many() -> None:
    text = report(0, source=disk("sda", 8, "11111111")).copied_text()
    assert text == "Partition 1 is complete; partition 2 (64.0 MiB) was not copied"


def test_the_result_is_plain_json() -> None:
    result = json.loads(json.dumps(report(0, 2).as_dict()))
    assert result["bytes_written"] == 8192
    assert result["target"]["serial"] == "SERIAL-sdb"
    assert [pair["number"] for pair in result["partitions"]] == [1, 2]
