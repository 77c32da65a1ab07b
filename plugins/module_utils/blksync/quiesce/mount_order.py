# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""In which order the mounts of one file system can be made again, and from which others. Pure."""

from __future__ import annotations

from typing import Callable

from ..discovery.model import Machine
from ..system.mountinfo import Mount
from .mount_options import Propagation


def order_of(machine: Machine, mounts: dict[int, Mount]) -> Callable[[Mount], tuple[int, int, int, int]]:
    """The order in which mounts of a file system can be made again.

    Parents first, then the whole before its directories, which are bound from it, a mount before those that follow it,
    and else the kernel's order, which is that in which they were made. The numbers of mounts say nothing of that: the
    kernel gives the number of a former mount to a new one (mnt_alloc_id() in fs/namespace.c of Linux 6.18).
    """
    position = {mount.mount_id: place for place, mount in enumerate(machine.mounts)}
    return lambda mount: (
        _ancestors(mounts, mount),
        len(mount.root),
        _leaders(mounts, mount),
        position.get(mount.mount_id, len(position)),
    )


def _leaders(mounts: dict[int, Mount], mount: Mount) -> int:
    """How many peer groups of these it follows, one through the other (Documentation/filesystems/sharedsubtree)."""
    count, master = 0, Propagation.of(mount).master
    while master and count < len(mounts):
        count += 1
        leader = next((each for each in map(Propagation.of, mounts.values()) if each.shared == master), Propagation())
        master = leader.master
    return count


def _ancestors(mounts: dict[int, Mount], mount: Mount) -> int:
    """On how many of these it lies."""
    count, parent = 0, mounts.get(mount.parent_id)
    while parent is not None and count < len(mounts):
        count, parent = count + 1, mounts.get(parent.parent_id)
    return count


def contains(source: Mount, wanted: Mount) -> bool:
    """Whether what is mounted there is, or lies in, what ``source`` has mounted of the same file system."""
    return source.root == "/" or (wanted.root + "/").startswith(source.root + "/")


def related(source: Mount, wanted: Mount) -> bool:
    """Whether it is a peer of ``source`` or follows its peer group. A bind mount of ``source`` begins as its peer."""
    group, ours = Propagation.of(source).shared, Propagation.of(wanted)
    return bool(group) and group in (ours.shared, ours.master)
