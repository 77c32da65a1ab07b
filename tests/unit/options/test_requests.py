# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request that makes no sense is refused before anything is looked at."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.errors import InvalidRequestError
from blksync.formats import algorithms
from blksync.options import ALGORITHMS, DeltaRequest, ImageRequest, SyncRequest
from blksync.options.kinds import options_of

DISKS: dict[str, Any] = {"source": "11111111", "target": "22222222"}
PATHS: dict[str, Any] = {"source": "/a", "target": "/b"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "the big one"}, "source: 'the big one' is no disk identifier"),
        ({"target": 22222222}, "target is the number 22222222; an identifier is text, so quote it"),
        ({"protected": ("33333333", 1.5)}, r"protected\[1\] is the number 1.5"),
        ({"partitions": ()}, "empty"),
        ({"partitions": (0, 1)}, "start at 1"),
        ({"partitions": (2, 1, 2)}, "names 2 more than once"),
        ({"engine": "dd"}, "native"),
        ({"engine": ["native"]}, "choose one of"),
        ({"quiesce": "lazily"}, "live"),
        ({"quiesce_fallback": "no"}, 'quiesce_fallback is "no"; give true or false'),
        ({"scope": "some"}, "used"),
        ({"scope": "used", "engine": "blocksync_fast"}, "native"),
        ({"verify": None}, "full"),
        ({"rate_limit": 50}, r"rate_limit is 50 bytes a second; give at least 1048576 \(1 MiB a second\), or 0"),
        ({"rate_limit": -1}, "give at least 1048576"),
        ({"rate_limit": "20M"}, 'rate_limit is "20M"; give a whole number'),
        ({"rate_limit": 1048576, "engine": "blocksync_fast"}, "blocksync-fast cannot limit its rate"),
        ({"quiesce_timeout": 0}, "at least 1"),
        ({"quiesce_timeout": 604801}, "at most 604800"),
        ({"quiesce_timeout": True}, "give a whole number"),
        ({"quiesce_timeout": "long"}, 'quiesce_timeout is "long"; give a whole number'),
        ({"block_size": 5000}, "4096"),
        ({"block_size": 2097152}, "1048576"),
        ({"block_size": 4096.0}, "give a whole number"),
    ],
)
def test_a_sync_without_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        SyncRequest(**{**DISKS, **options}).validate()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "a"}, 'source is "a"; give an absolute path'),
        ({"target": ""}, "target is"),
        ({"target": 5}, "target is 5; give an absolute path"),
        ({"engine": "dd"}, "native"),
        ({"keep": -1}, "keep is -1; give at least 0"),
        ({"digest_dir": "digests"}, "absolute path"),
        ({"digest_max_age": -1}, "at least 0"),
        ({"digest_full_every": -1}, "at least 0"),
        ({"algorithm": "CRC32"}, "choose one of auto, XXH128"),
        ({"quiesce": "live"}, "choose one of auto, freeze, none"),
        ({"punch_zeros": True, "engine": "blocksync_fast"}, "cannot punch holes"),
        ({"scope": "used", "engine": "blocksync_fast"}, "whole partitions only"),
    ],
)
def test_an_image_without_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        ImageRequest(**{**PATHS, **options}).validate()


def test_everything_is_told_together() -> None:
    wrong = {"target": "/b", "keep": -1, "scope": "used", "engine": "blocksync_fast", "verify": "none"}
    with pytest.raises(InvalidRequestError) as caught:
        ImageRequest.of(wrong)
    starts = ("source is missing", 'verify is "none"', "keep is -1", "blocksync-fast copies")
    assert len(caught.value.problems) == len(starts)
    for start, problem in zip(starts, caught.value.problems, strict=True):
        assert problem.startswith(start)
        assert problem in str(caught.value)


def test_what_is_wrong_by_itself_is_in_no_conflict() -> None:
    """The engine that was meant by "dd" is unknown, so nothing is said of scope and engine together."""
    with pytest.raises(InvalidRequestError) as caught:
        SyncRequest.of({**DISKS, "scope": "used", "engine": "dd"})
    assert len(caught.value.problems) == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["/a", "11111111"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("table", [SyncRequest, ImageRequest, DeltaRequest])
@given(data=st.data())
def test_anything_is_a_valid_request_or_one_error(table: Any, data: st.DataObject) -> None:
    values = data.draw(st.dictionaries(st.sampled_from(sorted(options_of(table))), ANYTHING))
    paths = {"image": "/a", "delta": "/b"} if table is DeltaRequest else PATHS if table is ImageRequest else DISKS
    try:
        request = table.of({**paths, **values})
    except InvalidRequestError:
        return
    request.validate()


def test_values_as_a_door_has_them() -> None:
    given = {**DISKS, "partitions": "1, 3", "protected": "33333333", "state": "ignored"}
    request = SyncRequest.of(given, check=True)
    assert request == SyncRequest("11111111", "22222222", partitions=(1, 3), protected=("33333333",), check=True)
    assert ImageRequest.of({**PATHS, "digest_dir": ""}) == ImageRequest("/a", "/b")


@pytest.mark.parametrize(("quiesce", "live"), [("auto", True), ("live", True), ("freeze", False), ("none", False)])
def test_live_where_it_is_asked_for_and_of_partitions_only(quiesce: str, live: bool) -> None:
    assert SyncRequest(**DISKS, quiesce=quiesce).live is live
    assert not ImageRequest(**PATHS, quiesce=quiesce).live


@pytest.mark.parametrize(
    ("quiesce", "fallback", "only"), [("live", False, True), ("live", True, False), ("auto", False, False)]
)
def test_nothing_but_live_has_to_be_asked_for(quiesce: str, fallback: bool, only: bool) -> None:
    assert SyncRequest(**DISKS, quiesce=quiesce, quiesce_fallback=fallback).live_only is only
    assert not ImageRequest(**PATHS, quiesce=quiesce).live_only


@pytest.mark.parametrize(
    "request_", [SyncRequest(**DISKS), ImageRequest(**PATHS), DeltaRequest("/a", "/b"), DeltaRequest("/a", "/b", "/c")]
)
def test_defaults_are_valid(request_: Any) -> None:
    request_.validate()


@pytest.mark.parametrize("table", [SyncRequest, ImageRequest, DeltaRequest])
def test_every_field_but_check_is_an_option(table: type) -> None:
    assert {field.name for field in fields(table)} - set(options_of(table)) == {"check"}


def test_all_algorithms_are_known_and_strong() -> None:
    known = {row.name: row.size for row in algorithms._ROWS}
    assert all(known[name] >= algorithms.STRONG for name in ALGORITHMS if name != "auto")
