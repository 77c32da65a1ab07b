# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests are not kept where they would be copied, frozen or unmounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from blksync.discovery.model import Machine
from blksync.options import ImageRequest
from blksync.sync import image_plan
from blksync.sync.endpoint import BLOCK, MISSING, Endpoint
from tests.support.machines import disk, machine, mount, partition

ROOT = mount("8:2", "/", mount_id=1)
BOOT = mount("8:1", "/boot/efi", mount_id=2, fstype="vfat")
ARCHIVE = mount("8:3", "/archive", mount_id=3)
RUN = mount("0:20", "/run", mount_id=4, fstype="tmpfs")
SDA = disk(
    "sda",
    8,
    "11111111",
    partition("sda", 1, 8, mounts=(BOOT,)),
    partition("sda", 2, 8, mounts=(ROOT,)),
    partition("sda", 3, 8, mounts=(ARCHIVE,)),
)
MACHINE = machine(SDA, mounts=(ROOT, BOOT, ARCHIVE, RUN))
IMAGE = Endpoint("/run/a.img", "/run/a.img", MISSING)


def refusals(directory: str, number: int = 2, there: Machine = MACHINE) -> list[tuple[str, str]]:
    source = there.disks[0].partition(number)
    assert source is not None
    end = Endpoint(source.path, source.path, BLOCK, source.size, source.devno)
    request = ImageRequest(source.path, IMAGE.path, create=True, digest_dir=directory)
    return [(refusal.code, refusal.hint) for refusal in image_plan.make(there, end, IMAGE, request).refusals]


@pytest.mark.parametrize("directory", ["/archive/digests", "/run/digests", "/archive", "/boot/efi/digests"])
def test_elsewhere_is_fine(directory: str) -> None:
    assert refusals(directory) == []


@pytest.mark.parametrize(("directory", "number"), [("/var/lib/digests", 2), ("/", 2), ("/boot/efi/digests", 1)])
def test_what_is_frozen_or_unmounted_is_refused_with_what_to_do(directory: str, number: int) -> None:
    ((code, hint),) = refusals(directory, number)
    assert code == "digest_dir_quiesced"
    assert "another disk" in hint


def test_a_source_that_is_read_without_being_quiesced_is_refused_as_well() -> None:
    read_only = mount("8:3", "/archive", options="ro", super_options="ro", mount_id=3)
    there = machine(disk("sda", 8, "11111111", partition("sda", 3, 8, mounts=(read_only,))), mounts=(read_only, RUN))
    assert [code for code, _hint in refusals("/archive/digests", 3, there)] == ["digest_dir_on_source"]


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/archive")
    assert refusals(str(tmp_path / "link")) == []
    assert [code for code, _hint in refusals(str(tmp_path))] == ["digest_dir_quiesced"]
