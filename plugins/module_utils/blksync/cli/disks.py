# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync disks`` command: lists the disks and their identifiers."""

from __future__ import annotations

import argparse
from typing import Sequence

from ..discovery.as_dict import disk_as_dict
from ..discovery.model import Disk, Partition
from ..discovery.observe import observe, unread
from ..text import human_bytes
from . import messages
from .arguments import OK
from .format import align

BY_ID = "/dev/disk/by-id/"


def run(options: argparse.Namespace) -> int:
    """List the disks."""
    disks = observe().disks
    problem = unread(disks)
    if problem:
        messages.warn(problem)
    if options.json:
        messages.say_json({"disks": [disk_as_dict(disk) for disk in disks]})
    else:
        messages.say("\n".join(disk_lines(disks)) if disks else "There are no disks.")
    return OK


def disk_lines(disks: Sequence[Disk]) -> list[str]:
    """A table of the disks, under each its lasting link and its partitions."""
    rows: list[tuple[str, ...]] = [("DISK", "SIZE", "PTUUID", "SERIAL", "MODEL", "BUS")]
    for disk in disks:
        names = (disk.ptuuid, disk.serial, disk.model, disk.transport)
        rows.append((disk.path, human_bytes(disk.size), *(name or "-" for name in names)))
    head, *table = align(rows)
    lines = [head]
    for disk, row in zip(disks, table):
        lines.append(row)
        lines += ["    %s" % link for link in [link for link in disk.links if link.startswith(BY_ID)][:1]]
        lines += ["    %s" % line for line in align([_partition(partition) for partition in disk.partitions])]
    return lines


def _partition(partition: Partition) -> tuple[str, ...]:
    mountpoints = sorted({mount.mountpoint for mount in partition.all_mounts()})
    holders = [holder.path for holder in partition.holders]
    use = ", ".join(mountpoints or holders or (["swap"] if partition.swap else []))
    return (
        "%d" % partition.number,
        human_bytes(partition.size),
        partition.fstype or "-",
        partition.label or "-",
        use or "not in use",
    )
