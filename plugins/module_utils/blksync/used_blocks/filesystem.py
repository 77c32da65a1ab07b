# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the device with the file system of a partition: the partition itself, or the LUKS mapping on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ..discovery.loops import read_backing
from ..discovery.model import Holder, Partition
from ..system.mountinfo import Mount
from .errors import UnknownLayoutError
from .luks import Mapping
from .registry import READERS

SYSFS = "/sys/class/block"
SECTOR = 512  # bytes: sysfs counts in these


@dataclass(frozen=True)
class BackingDevice:
    """The device that a file system lies on. ``mapping`` is the LUKS mapping's kernel name, empty for the partition."""

    devno: str
    fstype: str
    mounts: tuple[Mount, ...]
    mapping: str = ""


def find_backing_device(partition: Partition, is_file_on_it: Callable[[Holder], bool]) -> BackingDevice:
    """Where the file system lies. ``is_file_on_it`` says of a loop device whether its file is one of that file system.

    Raises UnknownLayoutError unless there is exactly one file system, mounted, of a kind that reports what it uses.
    """
    if partition.swap:
        raise UnknownLayoutError("swap", "it is used as swap")
    device: Partition | Holder = partition
    mapping = ""
    if not partition.mounts and len(partition.holders) == 1 and partition.holders[0].kind == "crypt":
        device = partition.holders[0]
        mapping = device.name
    _only_files_above(device, is_file_on_it)
    mounts = tuple(mount for mount in device.mounts if mount.devno == device.devno)
    if not device.mounts:
        raise UnknownLayoutError(
            "not_mounted", "its file system is not mounted" if not mapping else "nothing is mounted of its LUKS mapping"
        )
    fstypes = sorted({mount.fstype for mount in device.mounts})
    if len(fstypes) > 1:
        raise UnknownLayoutError("several_types", "it is mounted as %s" % " and as ".join(fstypes))
    if fstypes[0] not in READERS or len(mounts) != len(device.mounts):
        raise UnknownLayoutError("unsupported", "%s does not report which blocks it uses" % fstypes[0])
    return BackingDevice(device.devno, fstypes[0], mounts, mapping)


def _only_files_above(device: Partition | Holder, is_file_on_it: Callable[[Holder], bool]) -> None:
    """Images that are mounted from the file system itself (as snap does) are files of it and no obstacle."""
    for holder in device.holders:
        if not (device.mounts and holder.kind == "loop" and is_file_on_it(holder)):
            raise UnknownLayoutError("stacked", "%s (%s) lies on it" % (holder.path, holder.kind))


def is_loop_over_file(holder: Holder) -> bool:
    """Whether a loop device's backing file is a regular file, and not the device below it."""
    backing = read_backing(holder.path, holder.devno)
    return backing is not None and not backing.devno


def read_mapping(name: str) -> Mapping:
    """What sysfs says of a mapping (Documentation/ABI/testing/sysfs-block-dm). Raises OSError, ValueError."""
    return Mapping(_attribute(name, "dm/uuid"), int(_attribute(name, "size")) * SECTOR)


def _attribute(name: str, attribute: str) -> str:
    with open("%s/%s/%s" % (SYSFS, name, attribute), encoding="ascii") as file:
        return file.read().strip()
