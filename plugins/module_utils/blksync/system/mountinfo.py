# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Mounts and swap as the kernel lists them: /proc/self/mountinfo and /proc/swaps (both proc(5))."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ..errors import BlksyncError


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5)), octal escapes decoded.

    ``root`` is the subpath of the file system that is mounted ("/" for all of it), ``options`` the per-mount
    options, ``super_options`` the file system's, ``propagation`` the optional fields ("shared:1", "master:2").
    """

    mount_id: int
    parent_id: int
    devno: str
    root: str
    mountpoint: str
    options: str
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: str

    @property
    def read_only(self) -> bool:
        """True if nothing can write through this mount: the mount or its whole file system is read-only."""
        return "ro" in self.options.split(",") or self.holds_still

    @property
    def holds_still(self) -> bool:
        """True if the whole file system is read-only, so that no mount of it in any namespace writes.

        "emergency_ro": after an error the kernel takes no write any more, though the flag says "rw" (ext4 since
        Linux 6.15, fs/ext4/super.c; before, and with other file systems, such an error sets "ro").
        """
        return not {"ro", "emergency_ro"}.isdisjoint((self.super_options or self.options).split(","))


_ESCAPE = re.compile(rb"\\([0-7]{3})")


def unescape(text: str) -> str:
    """Decode the kernel's octal escapes of blanks and backslashes: ``/a\\040b`` is "/a b"."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), os.fsencode(text)))


def read_mounts() -> tuple[Mount, ...]:
    """The mounts of this process's namespace."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse_mountinfo(os.fsdecode(file.read()))


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Every mount, in the kernel's order.

    Raises BlksyncError for a line of another shape: a mount that is overlooked could cost a file system.
    """
    return tuple(_mount(line) for line in text.split("\n") if line)


def _mount(line: str) -> Mount:
    fields = line.split(" ")
    try:
        end = fields.index("-", 6)
        fstype, source, super_options = fields[end + 1 : end + 4]
        return Mount(
            mount_id=int(fields[0]),
            parent_id=int(fields[1]),
            devno=fields[2],
            root=unescape(fields[3]),
            mountpoint=unescape(fields[4]),
            options=fields[5],
            propagation=tuple(fields[6:end]),
            fstype=fstype,
            source=unescape(source),
            super_options=super_options,
        )
    except ValueError as error:
        raise BlksyncError(
            "Cannot understand this line of /proc/self/mountinfo: %r." % line, "Please report it as a defect."
        ) from error


def parse_swaps(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of swap devices and those of swap files."""
    devices: list[str] = []
    files: list[str] = []
    for line in text.split("\n")[1:]:
        fields = line.split()
        if len(fields) >= 2:
            (files if fields[1] == "file" else devices).append(unescape(fields[0]))
    return tuple(devices), tuple(files)


def mount_id(fd: int) -> int:
    """The mount that an open file was reached through (proc(5), fdinfo), or -1."""
    with open("/proc/self/fdinfo/%d" % fd, encoding="ascii") as info:
        for line in info:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    return -1
