# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds mounts of a device in other mount namespaces, where neither lsblk nor findmnt shows them (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterator

from ..errors import BlksyncError
from .mountinfo import Mount, parse_mountinfo


@dataclass(frozen=True)
class MountElsewhere:
    """A mount in the namespace of process ``pid``, whose program is ``name``."""

    pid: int
    name: str
    mountpoint: str

    def __str__(self) -> str:
        return "mounted at %s in the mount namespace of process %d (%s)" % (self.mountpoint, self.pid, self.name)


def mounts_elsewhere(devno: str, path: str) -> list[MountElsewhere]:
    """The mounts of a device in all other namespaces that this user may look into, one of each namespace.

    A file system with a device number of its own (btrfs) is found by ``path``, its source.
    """
    seen = {_namespace("self")}
    found: list[MountElsewhere] = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        namespace = _namespace(str(pid))
        if namespace in seen:
            continue
        seen.add(namespace)
        ours = [mount.mountpoint for mount in _mounts(pid) if mount.devno == devno or mount.source == path]
        if ours:
            found.append(MountElsewhere(pid, _text("/proc/%d/comm" % pid).strip() or "gone", ours[0]))
    return found


def _mounts(pid: int) -> Iterator[Mount]:
    try:
        yield from parse_mountinfo(_text("/proc/%d/mountinfo" % pid))
    except BlksyncError:
        return


def _namespace(pid: str) -> str:
    """Empty, as that of the kernel's threads, if it cannot be told."""
    try:
        return os.readlink("/proc/%s/ns/mnt" % pid)
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""
