# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that makes no sense is refused before anything is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from blksync.errors import InvalidRequestError
from blksync.options import ImageRequest, SyncRequest, parse_partitions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"partitions": ()}, "empty"),
        ({"partitions": "1,2"}, "choose one of all"),
        ({"partitions": (0, 1)}, "start at 1"),
        ({"partitions": (2, 1, 2)}, "names 2 more than once"),
        ({"engine": "dd"}, "native"),
        ({"quiesce": "lazily"}, "live"),
        ({"scope": "some"}, "used"),
        ({"scope": "used", "engine": "blocksync_fast"}, "native"),
        ({"verify": "none"}, "full"),
        ({"quiesce_timeout": 0}, "at least 1 second"),
        ({"block_size": 5000}, "4096"),
        ({"block_size": 2097152}, "1048576"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        SyncRequest(source="1", target="2", **options).validate()


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


def test_images_are_not_copied_live() -> None:
    with pytest.raises(InvalidRequestError, match="choose one of auto, freeze, none"):
        ImageRequest(source="/a", target="/b", quiesce="live").validate()


@pytest.mark.parametrize(("quiesce", "live"), [("auto", True), ("live", True), ("freeze", False), ("none", False)])
def test_live_where_it_is_asked_for_and_of_partitions_only(quiesce: str, live: bool) -> None:
    assert SyncRequest(source="1", target="2", quiesce=quiesce).live is live
    assert not ImageRequest(source="/a", target="/b", quiesce=quiesce).live


def test_defaults_are_valid() -> None:
    SyncRequest(source="11111111", target="22222222").validate()
