# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sync reports, from what it did."""

from __future__ import annotations

import json

import pytest

from blksync import plan
from blksync.report import PairReport, SyncReport, human_bytes
from blksync.request import SyncRequest
from tests.support.machines import disk, machine


def report(*changed: int) -> SyncReport:
    made = plan.make(
        machine(disk("sda", 8, "11111111"), disk("sdb", 9, "22222222")),
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
