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

from blksync import digest_record
from blksync.digest_record import Binding, Record, Trust
from blksync.request import SCOPES
from tests.support.machines import disk

SOURCE, TARGET = disk("sda", 8, "11111111"), disk("sdb", 9, "22222222")
BINDING = Binding(
    source=digest_record.partition_identity(SOURCE, SOURCE.partitions[0]),
    target=digest_record.partition_identity(TARGET, TARGET.partitions[0]),
    holds={"fstype": "ext4", "uuid": "1234"},
    size=64 * 1024 * 1024,
    block=4096,
    engine="native 0.1.0",
    algorithm="XXH128",
)
NOW = 1_800_000_000
DAY = 24 * 3600
RECORD = Record(BINDING, digest_record.FINISHED, 3, NOW - DAY, 5, "f" * 64)
TRUST = Trust(30 * DAY, 100)


def changed(**fields: Any) -> Binding:
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
        ({}, {"source": {**BINDING.source, "ptuuid": "33333333"}}, "another source"),
        ({}, {"target": {**BINDING.target, "serial": "OTHER"}}, "another target"),
        ({}, {"target": {**BINDING.target, "partuuid": "OTHER"}}, "another target"),
        ({}, {"target": {**BINDING.target, "disk_size": 1}}, "another target"),
        ({}, {"target": {**BINDING.target, "start": 1}}, "another target"),
        ({}, {"size": 4096}, "another size"),
        ({}, {"block": 8192}, "another size or block size"),
        ({}, {"algorithm": "SHA256"}, "made with XXH128"),
        ({}, {"engine": "native 0.2.0"}, "made by native 0.1.0"),
        ({}, {"holds": {"fstype": None, "uuid": None}}, "changed by something else"),
    ],
)
def test_what_does_not_fit_is_not(record: dict[str, Any], binding: dict[str, Any], words: str) -> None:
    assert words in digest_record.distrust(replace(RECORD, **record), changed(**binding), TRUST, NOW)


@pytest.mark.parametrize("serial", [None, "", "000000000000", "0123456789ABCDEF", "0101010101"])
def test_a_disk_without_a_serial_number_of_its_own_is_never_believed(serial: str | None) -> None:
    nameless = replace(TARGET, serial=serial)
    binding = changed(target=digest_record.partition_identity(nameless, nameless.partitions[0]))
    assert "serial number" in digest_record.distrust(replace(RECORD, binding=binding), binding, TRUST, NOW)
    wwn = replace(nameless, wwn="0x5000c500a1b2c3d4")
    binding = changed(target=digest_record.partition_identity(wwn, wwn.partitions[0]))
    assert digest_record.distrust(replace(RECORD, binding=binding), binding, TRUST, NOW) == ""


def test_no_limits() -> None:
    assert digest_record.distrust(replace(RECORD, compared=0, runs=10**6), BINDING, Trust(0, 0), NOW) == ""


def test_a_run_makes_the_record_unfinished_and_then_finished() -> None:
    begun = digest_record.unfinished(RECORD, changed(algorithm="SHA256"))
    assert (begun.state, begun.generation, begun.binding.algorithm) == ("unfinished", 4, "SHA256")
    believed = digest_record.finished(begun, {"uuid": "5678"}, "e" * 64, NOW, believed=True)
    assert (believed.state, believed.runs, believed.compared) == ("finished", 6, NOW - DAY)
    assert (believed.binding.holds, believed.content) == ({"uuid": "5678"}, "e" * 64)
    compared = digest_record.finished(begun, {}, "", NOW, believed=False)
    assert (compared.runs, compared.compared) == (0, NOW)


def test_names_are_fit_for_files_and_different_for_different_disks() -> None:
    assert BINDING.name == "11111111-SERIAL-sda-1--22222222-SERIAL-sdb-1"
    strange = changed(target={"ptuuid": "../../etc/passwd\0", "serial": "a b\u00e9" * 100, "number": 2})
    assert set(strange.name) <= set("abcdefghijklmnopqrstuvwxyzSERIAL0123456789-_")
    assert len(strange.name) < 200


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
