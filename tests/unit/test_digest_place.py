# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests are not kept where they would be copied, frozen or unmounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from blksync import plan
from blksync.request import SyncRequest
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
MACHINE = machine(SDA, disk("sdb", 9, "22222222"), mounts=(ROOT, BOOT, ARCHIVE, RUN))


def codes(folder: str, **options: object) -> list[str]:
    request = SyncRequest("11111111", "22222222", digest_dir=folder, **options)  # type: ignore[arg-type]
    return [refusal.code for refusal in plan.make(MACHINE, request).refusals]


@pytest.mark.parametrize("folder", ["/archive/digests", "/run/digests", "/archive"])
def test_elsewhere_is_fine(folder: str) -> None:
    assert codes(folder) == []


@pytest.mark.parametrize("folder", ["/var/lib/digests", "/boot/efi/digests", "/"])
def test_what_is_frozen_or_unmounted_is_refused_with_what_to_do(folder: str) -> None:
    request = SyncRequest("11111111", "22222222", digest_dir=folder)
    (refusal,) = plan.make(MACHINE, request).refusals
    assert refusal.code == "digest_folder_quiesced"
    assert "another disk" in refusal.hint


def test_a_partition_that_is_copied_without_being_quiesced_is_refused_as_well() -> None:
    read_only = partition("sda", 3, 8, mounts=(mount("8:3", "/archive", options="ro", super_options="ro"),))
    frozen = machine(disk("sda", 8, "11111111", read_only), disk("sdb", 9, "22222222", partition("sdb", 3, 9)))
    there = machine(*frozen.disks, mounts=read_only.mounts)
    request = SyncRequest("11111111", "22222222", partitions=(3,), digest_dir="/archive/digests")
    assert [refusal.code for refusal in plan.make(there, request).refusals] == ["digest_folder_on_pair"]


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/archive")
    assert codes(str(tmp_path / "link")) == []
    assert codes(str(tmp_path)) == ["digest_folder_quiesced"]
