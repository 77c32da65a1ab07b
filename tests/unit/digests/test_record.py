# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a digest is valid: only if everything fits, and never for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.digests import record as digest_record
from blksync.digests.record import DigestKey, Record, Validity
from blksync.options import SCOPES

KEY = DigestKey(
    target="/srv/images/system.img",
    holds={"inode": 12, "size": 64 * 1024 * 1024, "modified": 5, "changed": 6},
    size=64 * 1024 * 1024,
    block=4096,
    engine="native 0.1.0",
    algorithm="XXH128",
)
NOW = 1_800_000_000
DAY = 24 * 3600
RECORD = Record(KEY, digest_record.FINISHED, 3, NOW - DAY, 5, "f" * 64)
VALIDITY = Validity(30 * DAY, 100)


def changed(**fields: Any) -> DigestKey:
    return replace(KEY, **fields)


def test_what_fits_is_valid() -> None:
    assert digest_record.stale(RECORD, KEY, VALIDITY, NOW) is None
    assert digest_record.parse(RECORD.to_json()) == RECORD


@pytest.mark.parametrize(
    ("record", "key", "code", "words"),
    [
        ({"state": digest_record.UNFINISHED}, {}, "unfinished", "did not come to its end"),
        ({"compared": NOW - 30 * DAY}, {}, "comparison_due", "full comparison"),
        ({"compared": NOW + 10}, {}, "comparison_due", "full comparison"),
        ({"runs": 99}, {}, "comparison_due", "full comparison"),
        ({}, {"target": "/srv/images/other.img"}, "other_target", "another target"),
        ({}, {"size": 4096}, "other_size", "another size"),
        ({}, {"block": 8192}, "other_size", "another size or block size"),
        ({}, {"algorithm": "SHA256"}, "other_algorithm", "made with XXH128"),
        ({}, {"engine": "native 0.2.0"}, "other_engine", "made by native 0.1.0"),
        ({}, {"holds": {**KEY.holds, "inode": 13}}, "target_changed", "changed by something else"),
        ({}, {"holds": {**KEY.holds, "modified": 6}}, "target_changed", "changed by something else"),
        ({}, {"holds": {**KEY.holds, "changed": 7}}, "target_changed", "changed by something else"),
        ({}, {"holds": {}}, "target_changed", "changed by something else"),
    ],
)
def test_what_does_not_fit_is_stale(record: dict[str, Any], key: dict[str, Any], code: str, words: str) -> None:
    reason = digest_record.stale(replace(RECORD, **record), changed(**key), VALIDITY, NOW)
    assert reason is not None
    assert reason.code == code
    assert words in reason.message


def test_no_limits() -> None:
    assert digest_record.stale(replace(RECORD, compared=0, runs=10**6), KEY, Validity(0, 0), NOW) is None


def test_a_run_makes_the_record_unfinished_and_then_finished() -> None:
    begun = digest_record.unfinished(RECORD, changed(algorithm="SHA256"))
    assert (begun.state, begun.generation, begun.key.algorithm) == ("unfinished", 4, "SHA256")
    used = digest_record.finished(begun, {"inode": 5678}, "e" * 64, NOW, used=True)
    assert (used.state, used.runs, used.compared) == ("finished", 6, NOW - DAY)
    assert (used.key.holds, used.content) == ({"inode": 5678}, "e" * 64)
    compared = digest_record.finished(begun, {}, "", NOW, used=False)
    assert (compared.runs, compared.compared) == (0, NOW)


def test_names_are_fit_for_files_and_different_for_different_images() -> None:
    assert KEY.name.startswith("srv_images_system_img-")
    strange = changed(target="/../etc/pass wd\0" + "a b\u00e9\udcff" * 100)
    assert set(strange.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(strange.name) < 100
    assert len({changed(target=path).name for path in ("/a/b.img", "/a_b.img", "/a/b/img", "/a/b img")}) == 4


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"key": 1}', '{"key": {}}', RECORD.to_json()[:-20], "\0", "1e999"]
)
def test_what_is_no_record(text: str) -> None:
    assert digest_record.parse(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(json.loads(RECORD.to_json()))), value=JSON)
def test_any_value_of_any_field_gives_a_sound_record_or_none(key: str, value: Any) -> None:
    record = digest_record.parse(json.dumps({**json.loads(RECORD.to_json()), key: value}))
    if record is not None:
        digest_record.stale(record, KEY, VALIDITY, NOW)
        assert record.format == digest_record.FORMAT
        digest_record.unfinished(record, KEY).to_json()


@given(key=st.sampled_from(sorted(json.loads(RECORD.to_json())["key"])), value=JSON)
def test_any_key_but_the_right_one_is_stale(key: str, value: Any) -> None:
    content = json.loads(RECORD.to_json())
    content["key"][key] = value
    record = digest_record.parse(json.dumps(content))
    scope = key == "scope" and value in SCOPES  # a digest of either scope says itself what it knows nothing of
    if record is not None and record != RECORD and not scope:
        assert digest_record.stale(record, KEY, VALIDITY, NOW)
