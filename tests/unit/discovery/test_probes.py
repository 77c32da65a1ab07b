# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers of what lsblk and blkid print."""

from __future__ import annotations

import json

import pytest

from blksync.discovery.probes import Facts, merge, parse_blkid, parse_lsblk


def lsblk(*nodes: dict) -> str:
    return json.dumps({"blockdevices": nodes})


def test_children_at_any_depth_by_device_number() -> None:
    grandchild = {"maj:min": "253:0", "fstype": "ext4"}
    child = {"maj:min": "8:1", "partuuid": "11111111-01", "children": [grandchild]}
    found = parse_lsblk(lsblk({"maj:min": "  8:0 ", "model": "Disk  ", "children": [child]}))
    assert found == {"8:0": Facts(model="Disk"), "8:1": Facts(partuuid="11111111-01"), "253:0": Facts(fstype="ext4")}


@pytest.mark.parametrize("empty", [None, "", "   "])
def test_an_empty_column_is_unknown(empty: str | None) -> None:
    assert parse_lsblk(lsblk({"maj:min": "8:0", "serial": empty})) == {"8:0": Facts()}


def test_a_device_under_two_parents_is_taken_once() -> None:
    array = {"maj:min": "9:0", "fstype": "ext4"}
    found = parse_lsblk(lsblk({"maj:min": "8:1", "children": [array]}, {"maj:min": "8:2", "children": [array]}))
    assert sorted(found) == ["8:1", "8:2", "9:0"]


@pytest.mark.parametrize(
    "output",
    ["", "lsblk: unknown column: PATH", "[]", "{}", '{"blockdevices": null}', '{"blockdevices": ["x"]}', "null"],
)
def test_what_is_no_lsblk_output_says_nothing(output: str) -> None:
    assert parse_lsblk(output) == {}


def test_blkid_blocks() -> None:
    output = (
        "DEVNAME=/dev/loop0\nPTUUID=11111111\nPTTYPE=dos\n\n"
        "DEVNAME=/dev/loop0p1\nLABEL=it\\'s\\ a\\ \\\\label=\nUUID=41e1\nTYPE=ext4\nPART_ENTRY_SCHEME=dos\n"
        "PART_ENTRY_UUID=11111111-01\nPART_ENTRY_TYPE=0x83\nPART_ENTRY_OFFSET=2048\n"
    )
    assert parse_blkid(output) == {
        "/dev/loop0": Facts(table="dos", ptuuid="11111111"),
        "/dev/loop0p1": Facts(
            label="it's a \\label=", uuid="41e1", fstype="ext4", partuuid="11111111-01", parttype="0x83", start=1048576
        ),
    }


@pytest.mark.parametrize("output", ["", "\n\n", "garbage", "TYPE=ext4\n", "=\n=\n"])
def test_what_is_no_blkid_output_says_nothing(output: str) -> None:
    assert parse_blkid(output) == {}


def test_the_first_that_knows_is_believed() -> None:
    assert merge(Facts(model="a"), Facts(model="b", serial="s", start=0), Facts(start=7)) == Facts(
        model="a", serial="s", start=0
    )
