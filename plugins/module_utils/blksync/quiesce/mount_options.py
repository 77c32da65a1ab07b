# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The arguments of mount(2) that restore a mount as mountinfo showed it. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ..system import libc
from ..system.mountinfo import Mount

_MOUNT_FLAGS = {
    "ro": libc.MS_RDONLY,
    "nosuid": libc.MS_NOSUID,
    "nodev": libc.MS_NODEV,
    "noexec": libc.MS_NOEXEC,
    "nosymfollow": libc.MS_NOSYMFOLLOW,
    "noatime": libc.MS_NOATIME,
    "nodiratime": libc.MS_NODIRATIME,
    "relatime": libc.MS_RELATIME,
}
_SUPERBLOCK_FLAGS = {
    "rw": 0,
    "ro": libc.MS_RDONLY,
    "sync": libc.MS_SYNCHRONOUS,
    "dirsync": libc.MS_DIRSYNC,
    "mand": libc.MS_MANDLOCK,
    "lazytime": libc.MS_LAZYTIME,
}


def mount_flags(mount: Mount) -> int:
    """The flags of the mount itself. Without noatime and relatime mountinfo means strictatime."""
    words = mount.options.split(",")
    flags = sum(_MOUNT_FLAGS.get(word, 0) for word in dict.fromkeys(words))
    if "noatime" not in words and "relatime" not in words:
        flags |= libc.MS_STRICTATIME
    return flags


def superblock_flags(mount: Mount) -> int:
    """The flags of the file system behind the mount."""
    return sum(_SUPERBLOCK_FLAGS.get(word, 0) for word in dict.fromkeys(mount.super_options.split(",")))


def data(mount: Mount) -> str:
    """The options that only the file system understands."""
    return ",".join(word for word in mount.super_options.split(",") if word and word not in _SUPERBLOCK_FLAGS)


@dataclass(frozen=True)
class Propagation:
    """How mounts below it spread: the peer group it shares, the group it follows, or neither."""

    shared: str = ""
    master: str = ""
    unbindable: bool = False

    @classmethod
    def of(cls, mount: Mount) -> Propagation:
        """From the optional fields of mountinfo: "shared:1", "master:2", "propagate_from:3", "unbindable"."""
        fields = dict(field.partition(":")[::2] for field in mount.propagation)
        return cls(fields.get("shared", ""), fields.get("master", ""), "unbindable" in fields)

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """What it is, apart from the groups' numbers, which the kernel gives anew."""
        return (bool(self.shared), bool(self.master), self.unbindable)

    def flags(self, leave: bool) -> list[int]:
        """What to set one after the other. ``leave``: the new mount began in a peer group that is not its own."""
        if self.unbindable:
            return [libc.MS_UNBINDABLE]
        if self.master:
            return [libc.MS_SLAVE, *([libc.MS_SHARED] if self.shared else [])]
        if self.shared:
            return [libc.MS_PRIVATE, libc.MS_SHARED] if leave else [libc.MS_SHARED]
        return [libc.MS_PRIVATE]


def command(mount: Mount, device: str) -> str:
    """What a person runs to mount it by hand."""
    options = [word for word in mount.options.split(",") if word in _MOUNT_FLAGS]
    options += [word for word in mount.super_options.split(",") if word and word not in ("rw", *options)]
    asked = " -o %s" % ",".join(options) if options else ""
    mountpoint = shlex.quote(mount.mountpoint)
    if mount.root != "/":
        return "mount --bind DIR%s %s, where DIR has %s mounted" % (shlex.quote(mount.root), mountpoint, device)
    return "mount -t %s%s %s %s" % (mount.fstype, asked, device, mountpoint)
