# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small machines as plain data, for tests of pure functions."""

from __future__ import annotations

from typing import Any

from blksync.discovery.model import Disk, Machine, Partition
from blksync.system.mountinfo import Mount

MIB = 1024 * 1024


def mount(devno: str, mountpoint: str, **fields: Any) -> Mount:
    """A mount of an ext4 file system, read-write unless ``options`` say otherwise."""
    values: dict[str, Any] = {
        "mount_id": 40,
        "parent_id": 1,
        "root": "/",
        "options": "rw,relatime",
        "propagation": ("shared:1",),
        "fstype": "ext4",
        "source": "/dev/none",
        "super_options": "rw",
    }
    return Mount(devno=devno, mountpoint=mountpoint, **{**values, **fields})


def partition(disk: str, number: int, major: int, size: int = 64 * MIB, **fields: Any) -> Partition:
    """Partition ``number`` of a disk such as "sda", 64 MiB large, on its own 100 MiB of the disk."""
    name = "%s%d" % (disk, number)
    values: dict[str, Any] = {"name": name, "path": "/dev/" + name, "devno": "%d:%d" % (major, number)}
    values["start"] = number * 100 * MIB
    return Partition(number=number, size=size, **{**values, **fields})


def disk(name: str, major: int, ptuuid: str, *partitions: Partition, **fields: Any) -> Disk:
    """A disk ``/dev/NAME`` with two partitions unless others are given."""
    values: dict[str, Any] = {"size": 1000 * MIB, "model": "Model %s" % name, "serial": "SERIAL-%s" % name}
    values["partitions"] = partitions or (partition(name, 1, major), partition(name, 2, major))
    return Disk(name=name, path="/dev/" + name, devno="%d:0" % major, ptuuid=ptuuid, **{**values, **fields})


def machine(
    *disks: Disk, mounts: tuple[Mount, ...] = (), ancestry: dict[str, tuple[str, ...]] | None = None
) -> Machine:
    """A machine of these disks; every disk and partition lives on its disk, ``ancestry`` is added to that."""
    lives_on = {item.devno: (item.devno,) for item in disks}
    lives_on.update({part.devno: (item.devno,) for item in disks for part in item.partitions})
    return Machine(disks=disks, mounts=mounts, ancestry={**lives_on, **(ancestry or {})})
