# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of used blocks alone: what they say nothing of is compared with the target itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.options import ImageRequest
from blksync.sync import image_sync
from tests.support.digest_images import on_disk
from tests.support.disks import MIB, LoopDevice, run

pytestmark = pytest.mark.needs("root", "loop-devices", "mkfs.ext4")
SIZE = 96 * MIB


class Copied:
    """A mounted ext4, copied again and again to an image with a digest."""

    def __init__(self, directory: Path, device: LoopDevice) -> None:
        self.source, self.root, self.copy = device.path, directory / "root", directory / "copy"
        self.target, self.directory = directory / "target.img", directory / "digests"
        self.root.mkdir()
        self.copy.mkdir()
        self.target.write_bytes(os.urandom(SIZE))  # rubbish

    def sync(self, **options: Any) -> dict[str, Any]:
        """The report of the pair."""
        values = {
            "scope": "used",
            "digest_dir": str(self.directory),
            "quiesce": "freeze",
            "engine": "native",
            **options,
        }
        (pair,) = image_sync.run(ImageRequest(self.source, str(self.target), **values)).as_dict()["partitions"]
        return dict(pair)

    def assert_copied(self) -> None:
        """The image's file system is whole and holds the same files."""
        run("e2fsck", "-fn", str(self.target))
        run("mount", "-o", "ro,noload,loop", str(self.target), str(self.copy))
        try:
            run("diff", "-r", str(self.root), str(self.copy))
        finally:
            run("umount", str(self.copy))


@pytest.fixture
def copied() -> Iterator[Copied]:
    with on_disk() as directory, LoopDevice(SIZE) as device:
        made = Copied(directory, device)
        run("mkfs.ext4", "-q", device.path)
        run("mount", device.path, str(made.root))
        try:
            (made.root / "system").write_bytes(os.urandom(4 * MIB))
            yield made
        finally:
            run("umount", str(made.root))


def test_used_blocks_with_a_digest(copied: Copied) -> None:
    """The target is read only where the file system has come to use what was free."""
    first = copied.sync()
    assert (first["digest"]["used"], first["scope"]["mode"]) == (False, "used")
    assert first["bytes_skipped"] > 40 * MIB
    second = copied.sync()
    assert second["digest"]["used"], second["digest"]["reason"]
    assert second["bytes_read"] <= second["bytes_compared"] + MIB
    assert second["blocks_changed"] <= 4  # time stamps of the freeze
    (copied.root / "new").write_bytes(os.urandom(8 * MIB))
    third = copied.sync()
    assert third["digest"]["used"], third["digest"]["reason"]
    assert 8 * MIB <= third["bytes_written"] < 16 * MIB  # and what the file system has set aside
    assert third["bytes_read"] >= third["bytes_compared"] + 8 * MIB
    copied.assert_copied()
    record = json.loads(next(copied.directory.glob("*.json")).read_text())
    assert record["key"]["scope"] == "used"


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
    copied.assert_copied()
    back = copied.sync()
    assert back["digest"]["used"]
    assert back["bytes_read"] == back["bytes_compared"] < back["size"]


def test_what_was_free_and_is_equal_already_is_not_written(copied: Copied) -> None:
    copied.sync(scope="all", digest_dir="")
    copied.sync()
    everything = copied.sync(scope="all")
    assert everything["digest"]["used"], everything["digest"]["reason"]
    assert everything["blocks_changed"] <= 4
