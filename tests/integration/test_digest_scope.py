# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of used blocks alone: what they say nothing of is compared with the target itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from blksync import sync
from blksync.request import SyncRequest
from tests.support.blocks import fill
from tests.support.disks import MIB, SECTOR
from tests.support.mounted import MountedPair

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")
SIZES = (8 * MIB // SECTOR, 96 * MIB // SECTOR)


class Copied:
    """Partition 2 of a mounted pair, synced again and again with a digest."""

    def __init__(self, pair: MountedPair, folder: Path) -> None:
        self.pair, self.folder = pair, folder

    def sync(self, **options: Any) -> dict[str, Any]:
        """The report of the pair."""
        request = SyncRequest(
            self.pair.source.identifier,
            self.pair.target.identifier,
            partitions=(2,),
            engine="native",
            **{"digest_dir": str(self.folder), "quiesce": "freeze", "scope": "used", **options},
        )
        (pair,) = sync.run(request).as_dict()["partitions"]
        return dict(pair)


@pytest.fixture
def copied(tmp_path: Path) -> Any:
    with MountedPair(tmp_path, SIZES) as pair:
        fill(pair.target.partition(2))  # rubbish
        yield Copied(pair, tmp_path / "digests")


def test_used_blocks_with_a_digest(copied: Copied) -> None:
    """The target is read only where the file system has come to use what was free."""
    first = copied.sync()
    assert (first["digest"]["used"], first["scope"]["mode"]) == (False, "used")
    assert first["bytes_skipped"] > 40 * MIB
    second = copied.sync()
    assert second["digest"]["used"], second["digest"]["reason"]
    assert second["bytes_read"] <= second["bytes_compared"] + MIB
    assert second["blocks_changed"] <= 4  # time stamps of the freeze
    (copied.pair.root / "new").write_bytes(os.urandom(8 * MIB))
    third = copied.sync()
    assert third["digest"]["used"], third["digest"]["reason"]
    assert 8 * MIB <= third["bytes_written"] < 16 * MIB  # and what the file system has set aside
    assert third["bytes_read"] >= third["bytes_compared"] + 8 * MIB
    copied.pair.assert_copied((2,))
    record = json.loads(next(copied.folder.glob("*.json")).read_text())
    assert record["binding"]["scope"] == "used"


def test_from_used_blocks_to_all_and_back(copied: Copied) -> None:
    """A digest of used blocks is good for all: the rest is read. Then nothing is unknown any more."""
    copied.sync()
    everything = copied.sync(scope="all")
    assert everything["digest"]["used"], everything["digest"]["reason"]
    assert everything["bytes_written"] > 40 * MIB, "the rubbish was there until now"
    again = copied.sync(scope="all")
    assert again["digest"]["used"]
    assert again["bytes_read"] == again["size"]
    assert again["blocks_changed"] <= 4
    copied.pair.assert_copied((2,))
    back = copied.sync()
    assert back["digest"]["used"]
    assert back["bytes_read"] == back["bytes_compared"] < back["size"]


def test_what_was_free_and_is_equal_already_is_not_written(copied: Copied) -> None:
    copied.sync(scope="all", digest_dir="")
    copied.sync()
    everything = copied.sync(scope="all")
    assert everything["digest"]["used"], everything["digest"]["reason"]
    assert everything["blocks_changed"] <= 4
