# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions, however they are written."""

from __future__ import annotations

import pytest

from blksync.errors import InvalidRequestError
from blksync.options.partitions import parse_partitions


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ([1, 2], (1, 2)),
        (("1", 3), (1, 3)),
        (["2", " 10 "], (2, 10)),
        (3, (3,)),
        ("3", (3,)),
        ("1,2", (1, 2)),
        (" 1, 2 ", (1, 2)),
        ("[1, 2]", (1, 2)),
        ("(1, 2)", (1, 2)),
        ("all", "all"),
    ],
)
def test_partitions_as_every_door_hands_them_over(value: object, numbers: object) -> None:
    assert parse_partitions(value) == numbers


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "holds null, which is no partition number"),
        (True, "holds true"),
        (1.0, "holds 1.0"),
        ([1, True], "holds true"),
        ([1, 2.5, None], "holds 2.5, null"),
        ({"1": 2}, "which is no partition number"),
        ([[1]], "which is no partition number"),
        ([], "empty"),
        ("", "empty"),
        ("[]", "empty"),
        (["all"], 'holds "all"'),
        ("ALL", 'holds "ALL"'),
        ("1;2", 'holds "1;2"'),
        ("1,", 'holds ""'),
        ("1-3", 'holds "1-3"'),
        ("0x1", 'holds "0x1"'),
        ("01", 'holds "01"'),
        ("9" * 5000, "which is no partition number"),
        ("\u0661", "which is no partition number"),
        ([0], "start at 1"),
        ("-1", "start at 1"),
        ("1,2,1", "names 1 more than once"),
        ([1, "1"], "names 1 more than once"),
    ],
)
def test_partitions_that_make_no_sense_are_one_error(value: object, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_partitions(value)
    assert words in caught.value.message
