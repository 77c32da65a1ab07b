# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags and options of mount(2), so that a mount comes back as it was."""

from __future__ import annotations

import pytest

from blksync.quiesce.mount_options import Propagation, command, data, mount_flags, superblock_flags
from blksync.system import libc
from tests.support.machines import mount

VFAT = mount(
    "8:1",
    "/boot/efi",
    fstype="vfat",
    options="ro,nosuid,nodev,noexec,relatime",
    super_options="rw,sync,lazytime,fmask=0077,utf8,errors=remount-ro",
)


def test_flags_of_the_mount_and_of_its_file_system_are_told_apart() -> None:
    ours = libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC | libc.MS_RELATIME
    assert mount_flags(VFAT) == ours
    assert superblock_flags(VFAT) == libc.MS_SYNCHRONOUS | libc.MS_LAZYTIME
    assert data(VFAT) == "fmask=0077,utf8,errors=remount-ro"


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ("rw,noatime", libc.MS_NOATIME),
        ("rw", libc.MS_STRICTATIME),
        ("rw,nodiratime", libc.MS_STRICTATIME | libc.MS_NODIRATIME),
        ("rw,nodiratime,relatime", libc.MS_RELATIME | libc.MS_NODIRATIME),
        ("rw,nosymfollow,relatime", libc.MS_RELATIME | libc.MS_NOSYMFOLLOW),
    ],
)
def test_access_times_are_kept_as_they_were(options: str, flags: int) -> None:
    assert mount_flags(mount("8:1", "/a", options=options)) == flags


@pytest.mark.parametrize(
    ("fields", "leave", "flags"),
    [
        ((), False, [libc.MS_PRIVATE]),
        (("shared:7",), True, [libc.MS_PRIVATE, libc.MS_SHARED]),
        (("shared:7",), False, [libc.MS_SHARED]),
        (("master:7",), False, [libc.MS_SLAVE]),
        (("shared:8", "master:7", "propagate_from:2"), False, [libc.MS_SLAVE, libc.MS_SHARED]),
        (("unbindable",), False, [libc.MS_UNBINDABLE]),
    ],
)
def test_propagation(fields: tuple[str, ...], leave: bool, flags: list[int]) -> None:
    assert Propagation.of(mount("8:1", "/a", propagation=fields)).flags(leave) == flags


def test_the_command_for_a_person() -> None:
    wanted = "mount -t vfat -o ro,nosuid,nodev,noexec,relatime,sync,lazytime,fmask=0077,utf8,errors=remount-ro"
    assert command(VFAT, "/dev/sda1") == wanted + " /dev/sda1 /boot/efi"
    assert "--bind" in command(mount("8:1", "/a", root="/EFI"), "/dev/sda1")
