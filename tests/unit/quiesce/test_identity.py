# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device it is, beyond its number."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from blksync.quiesce.identity import Identity, observe, uuid_of

FULL = Identity(diskseq=7, start=1024, size=4096, uuid="ab")
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (FULL, True),
        (Identity(8, 1024, 4096, "ab"), False),
        (Identity(7, 2048, 4096, "ab"), False),
        (Identity(7, 1024, 4096, "cd"), False),
        (Identity(7, 1024, 8192, "ab"), True),  # a logical volume that grew
        (Identity(0, 1024, 4096, "ab"), True),  # a kernel before 5.15
        (Identity(0, 1024, 8192, "ab"), False),
        (Identity(0, 1024, 4096, "cd"), False),
        (Identity(7, 1024, 4096, ""), True),  # a device that cannot be read any more
        (Identity(7, 1024, 8192, ""), False),
        (Identity(), True),
    ],
)
def test_all_that_is_known_of_both_is_compared(other: Identity, same: bool) -> None:
    assert FULL.is_same(other) == same
    assert other.is_same(FULL) == same


def test_a_partition_has_the_number_of_its_disk(tmp_path: Path) -> None:
    disk = tmp_path / "devices/sda"
    (disk / "sda2").mkdir(parents=True)
    for name, text in (("diskseq", "7"), ("size", "100"), ("sda2/start", "2"), ("sda2/size", "8")):
        (disk / name).write_text(text + "\n")
    (tmp_path / "8:0").symlink_to(disk)
    (tmp_path / "8:2").symlink_to(disk / "sda2")
    assert observe("8:2", sysfs=str(tmp_path)) == Identity(7, 1024, 4096)
    assert observe("8:0", sysfs=str(tmp_path)) == Identity(7, 0, 51200)
    assert observe("8:3", sysfs=str(tmp_path)) is None
    assert observe("", sysfs=str(tmp_path)) is None


@pytest.mark.needs("blkid")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(argv.split(), marks=pytest.mark.needs(argv.split()[0]))
        for argv in (
            "mkfs.ext4 -qF",
            "mkfs.ext2 -qF",
            "mkfs.xfs -q",
            "mkfs.btrfs -q",
            "mkfs.vfat -F32",
            "mkfs.vfat -F16",
        )
    ],
)
def test_the_uuid_of_a_file_system_is_the_one_that_blkid_tells(tmp_path: Path, command: list[str]) -> None:
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(320 * MIB)
    subprocess.run([*command, str(image)], check=True, capture_output=True)
    argv = ["blkid", "-p", "-s", "UUID", "-o", "value", str(image)]
    printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip().replace("-", "").lower()
    with open(image, "rb") as file:
        found = uuid_of(file.read(0x11000))
    assert found == (bytes.fromhex(printed)[::-1].hex() if "vfat" in command[0] else printed)


def test_nothing_known_has_no_uuid() -> None:
    assert (uuid_of(b""), uuid_of(bytes(0x11000))) == ("", "")
