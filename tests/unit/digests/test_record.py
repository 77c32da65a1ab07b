# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a digest is believed: only where everything fits, and never for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.digests import record as digest_record
from blksync.digests.record import DigestKey, Record, Trust
from blksync.options import SCOPES

BINDING = DigestKey(
    target="/srv/images/system.img",
    holds={"inode": 12, "size": 64 * 1024 * 1024, "modified": 5, "changed": 6},
    size=64 * 1024 * 1024,
    block=4096,
    engine="native 0.1.0",
    algorithm="XXH128",
)
NOW = 1_800_000_000
DAY = 24 * 3600
RECORD = Record(BINDING, digest_record.FINISHED, 3, NOW - DAY, 5, "f" * 64)
TRUST = Trust(30 * DAY, 100)


def changed(**fields: Any) -> DigestKey:
    return replace(BINDING, **fields)


def test_what_fits_is_believed() -> None:
    assert digest_record.distrust(RECORD, BINDING, TRUST, NOW) == ""
    assert digest_record.parse(RECORD.to_json()) == RECORD


@pytest.mark.parametrize(
    ("record", "binding", "words"),
    [
        ({"state": digest_record.UNFINISHED}, {}, "did not come to its end"),
        ({"compared": NOW - 30 * DAY}, {}, "full comparison"),
        ({"compared": NOW + 10}, {}, "full comparison"),
        ({"runs": 99}, {}, "full comparison"),
        ({}, {"target": "/srv/images/other.img"}, "another target"),
        ({}, {"size": 4096}, "another size"),
        ({}, {"block": 8192}, "another size or block size"),
        ({}, {"algorithm": "SHA256"}, "made with XXH128"),
        ({}, {"engine": "native 0.2.0"}, "made by native 0.1.0"),
        ({}, {"holds": {**BINDING.holds, "inode": 13}}, "changed by something else"),
        ({}, {"holds": {**BINDING.holds, "modified": 6}}, "changed by something else"),
        ({}, {"holds": {**BINDING.holds, "changed": 7}}, "changed by something else"),
        ({}, {"holds": {}}, "changed by something else"),
    ],
)
def test_what_does_not_fit_is_not(record: dict[str, Any], binding: dict[str, Any], words: str) -> None:
    assert words in digest_record.distrust(replace(RECORD, **record), changed(**binding), TRUST, NOW)


def test_no_limits() -> None:
    assert digest_record.distrust(replace(RECORD, compared=0, runs=10**6), BINDING, Trust(0, 0), NOW) == ""


def test_a_run_makes_the_record_unfinished_and_then_finished() -> None:
    begun = digest_record.unfinished(RECORD, changed(algorithm="SHA256"))
    assert (begun.state, begun.generation, begun.binding.algorithm) == ("unfinished", 4, "SHA256")
    believed = digest_record.finished(begun, {"inode": 5678}, "e" * 64, NOW, believed=True)
    assert (believed.state, believed.runs, believed.compared) == ("finished", 6, NOW - DAY)
    assert (believed.binding.holds, believed.content) == ({"inode": 5678}, "e" * 64)
    compared = digest_record.finished(begun, {}, "", NOW, believed=False)
    assert (compared.runs, compared.compared) == (0, NOW)


def test_names_are_fit_for_files_and_different_for_different_images() -> None:
    assert BINDING.name.startswith("srv_images_system_img-")
    strange = changed(target="/../etc/pass wd\0" + "a b\u00e9\udcff" * 100)
    assert set(strange.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(strange.name) < 100
    assert len({changed(target=path).name for path in ("/a/b.img", "/a_b.img", "/a/b/img", "/a/b img")}) == 4


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"binding": 1}', '{"binding": {}}', RECORD.to_json()[:-20], "\0", "1e999"]
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
        digest_record.distrust(record, BINDING, TRUST, NOW)
        assert record.format == digest_record.FORMAT
        digest_record.unfinished(record, BINDING).to_json()


@given(key=st.sampled_from(sorted(json.loads(RECORD.to_json())["binding"])), value=JSON)
def test_any_binding_but_the_right_one_is_not_believed(key: str, value: Any) -> None:
    content = json.loads(RECORD.to_json())
    content["binding"][key] = value
    record = digest_record.parse(json.dumps(content))
    scope = key == "scope" and value in SCOPES  # a digest of either scope says itself what it knows nothing of
    if record is not None and record != RECORD and not scope:
        assert digest_record.distrust(record, BINDING, TRUST, NOW)
