# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sync reports, from what it did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blksync.discovery.model import Disk
from blksync.options import SyncRequest
from blksync.sync import disk_plan
from blksync.sync.result import PairReport, SyncReport, copied_text, human_bytes, left_out_text
from tests.support.machines import disk, machine, partition


def report(*changed: int, source: Disk | None = None) -> SyncReport:
    made = disk_plan.make(
        machine(source or disk("sda", 8, "11111111"), disk("sdb", 9, "22222222")),
        SyncRequest("11111111", "22222222", quiesce="none"),
    )
    pairs = [
        PairReport(pair, blocks_total=100, blocks_changed=blocks, bytes_written=blocks * 4096)
        for pair, blocks in zip(made.pairs, changed, strict=True)
    ]
    return SyncReport(made, "native", "0.1.0", check=False, pairs=pairs)


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


def test_the_diff_names_what_is_left_out() -> None:
    diff = report(0, 300, source=THREE).diff()
    assert diff["before"].splitlines()[2] == diff["after"].splitlines()[2]
    assert diff["after"].splitlines()[2] == "partition 3 (ext4, 64.0 MiB) is left out"


def test_the_result_names_what_is_left_out() -> None:
    assert [entry["number"] for entry in report(0, 0, source=THREE).as_dict()["left_out"]] == [3]
    assert report(0, 0).as_dict()["left_out"] == []


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"mountpoints": ["/", "/srv"]}, "3 (/, /srv, 20.0 GiB)"),
        ({}, '3 ("data", ext4, 20.0 GiB)'),
        ({"label": None}, "3 (ext4, 20.0 GiB)"),
        ({"label": None, "fstype": None}, "3 (20.0 GiB)"),
        ({"label": None, "fstype": None, "size": None}, "3"),
    ],
)
def test_a_partition_that_is_left_out_is_described(known: dict[str, Any], text: str) -> None:
    entry = {"number": 3, "size": 20 * 1024**3, "fstype": "ext4", "label": "data", "mountpoints": []}
    assert left_out_text({**entry, **known}) == text


@pytest.mark.parametrize(
    ("copied", "left_out", "text"),
    [
        ((1, 2), (3,), "Partitions 1 and 2 are complete; partition 3 (/, 1.0 KiB) was not copied"),
        (
            (2,),
            (1, 3),
            "Partition 2 is complete; partitions 1 (/, 1.0 KiB) and 3 (/, 1.0 KiB) were not copied",
        ),
    ],
)
def test_what_was_not_copied_is_said_in_the_same_sentence(
    copied: tuple[int, ...], left_out: tuple[int, ...], text: str
) -> None:
    entries = [{"number": n, "size": 1024, "fstype": None, "label": None, "mountpoints": ["/"]} for n in left_out]
    result = {"partitions": [{"number": number} for number in copied], "left_out": entries}
    assert copied_text(result) == text
    assert copied_text(result, "T7").startswith(text.replace(" complete", " complete on T7"))


def test_the_result_is_plain_json() -> None:
    result = json.loads(json.dumps(report(0, 2).as_dict()))
    assert result["bytes_written"] == 8192
    assert result["target"]["serial"] == "SERIAL-sdb"
    assert [pair["number"] for pair in result["partitions"]] == [1, 2]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_human_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text
