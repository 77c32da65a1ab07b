# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the devices behind a path, through mounts, overlays, bind mounts and loop devices. Pure."""

from __future__ import annotations

from typing import Sequence

from ..system.mountinfo import Mount
from .model import Machine

JOURNAL_DIR = "/var/log/journal"


def beneath(machine: Machine, path: str) -> frozenset[str]:
    """The device numbers that writing to ``path``, a real path, ends on: the file system's, and all that it lies on.

    The layers of an overlay that are only read are not part of it. Empty for a place in memory or on the network.
    """
    if path in machine.places:
        return frozenset(machine.places[path])
    mount = mount_of(machine.mounts, path)
    return frozenset((mount.devno, *machine.below.get(mount.devno, ()))) if mount else frozenset()


def mount_of(mounts: Sequence[Mount], path: str) -> Mount | None:
    """The mount that ``path`` lies on: followed from mount to mount as the kernel does, so a covered one hides nothing.

    A mount whose parent is not listed counts as a root; of several roots around the path the longest, then the last.
    """
    around = [mount for mount in mounts if contains(mount.mountpoint, path)]
    known = {mount.mount_id for mount in mounts}
    roots = [mount for mount in around if mount.parent_id not in known or mount.parent_id == mount.mount_id]
    if not roots:
        return None
    longest = max(len(mount.mountpoint) for mount in roots)
    current = [mount for mount in roots if len(mount.mountpoint) == longest][-1]
    passed = [current]
    while True:
        children = [mount for mount in around if mount.parent_id == current.mount_id and mount not in passed]
        if not children:
            return current
        first = min(len(mount.mountpoint) for mount in children)
        current = [mount for mount in children if len(mount.mountpoint) == first][-1]
        passed.append(current)


def contains(directory: str, path: str) -> bool:
    """Whether ``path`` is ``directory`` or lies in it, by name."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
