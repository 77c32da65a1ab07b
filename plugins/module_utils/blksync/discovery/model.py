# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The machine as plain data: disks, partitions, what is stacked on them and what uses them.

Everything here is immutable and does not touch the system; ``observe`` fills it in.
All sizes and offsets are bytes. ``devno`` is the kernel's ``"major:minor"``, the only
name that no two devices share. Paths and links are for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator

from ..system.mountinfo import Mount
from ..text import human_bytes


@dataclass(frozen=True)
class Holder:
    """A block device stacked on another: a LUKS mapping, a logical volume, an md array, multipath, a loop device.

    ``kind`` is "crypt", "lvm", "raid", "mpath", "loop" (its backing file lies on the device, or it is a range of it),
    "bcache", "partition" (of such a holder) or "dm" (any other mapping); "disk" for the whole disk of a partition, if
    the disk itself is in use, and "alias" for another device that has the same bytes: a second loop device over one
    file, or a partition of it. ``fstype`` is what blkid calls its content; it does not
    count when two are compared, because udev may learn it late.
    """

    name: str
    path: str
    devno: str
    kind: str
    mounts: tuple[Mount, ...] = ()
    swap: bool = False
    holders: tuple[Holder, ...] = ()
    fstype: str | None = field(default=None, compare=False)

    def tree(self) -> Iterator[Holder]:
        """This device and everything stacked on it, depth first."""
        yield self
        for holder in self.holders:
            yield from holder.tree()


@dataclass(frozen=True)
class Partition:
    """One partition. ``path`` comes from the kernel's own name, never from gluing a number to a disk's name.

    ``links`` are the symbolic links to it in /dev/disk/by-id, /dev/disk/by-path and /dev.
    """

    number: int
    name: str
    path: str
    devno: str
    start: int
    size: int
    read_only: bool = False
    partuuid: str | None = None
    parttype: str | None = None
    fstype: str | None = None
    label: str | None = None
    uuid: str | None = None
    links: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    swap: bool = False
    holders: tuple[Holder, ...] = ()

    def all_holders(self) -> Iterator[Holder]:
        """Everything stacked on the partition, at any depth."""
        for holder in self.holders:
            yield from holder.tree()

    def all_mounts(self) -> Iterator[Mount]:
        """Every mount of the partition or of anything stacked on it."""
        yield from self.mounts
        for holder in self.all_holders():
            yield from holder.mounts


@dataclass(frozen=True)
class Switch:
    """What powers a disk off: a file of sysfs to write 1 to, and the names of the other disks that go with it."""

    path: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disk:
    """A whole disk. ``mounts``, ``swap`` and ``holders`` are those of the whole-disk device itself.

    ``table`` is the partition table's kind ("dos", "gpt"), ``ptuuid`` its identifier in lower case,
    ``links`` are the symbolic links to the disk in /dev/disk/by-id, /dev/disk/by-path and /dev.
    ``diskseq`` is a number that the kernel gives to one disk only until it is restarted (0 before Linux 5.15,
    Documentation/ABI/stable/sysfs-block): a disk that is plugged in again has another one.
    ``backing`` are st_dev and st_ino of a loop device's file. ``switch`` is None for a disk that software cannot power
    off. ``stale`` are the numbers of the partitions whose place the kernel and the table on the medium do not agree on,
    those that only one of them has included.
    """

    name: str
    path: str
    devno: str
    size: int
    diskseq: int = 0
    logical_sector: int = 512
    physical_sector: int = 512
    read_only: bool = False
    removable: bool = False
    rotational: bool = False
    model: str | None = None
    vendor: str | None = None
    serial: str | None = None
    wwn: str | None = None
    transport: str | None = None
    links: tuple[str, ...] = ()
    table: str | None = None
    ptuuid: str | None = None
    partitions: tuple[Partition, ...] = ()
    mounts: tuple[Mount, ...] = ()
    swap: bool = False
    holders: tuple[Holder, ...] = ()
    backing_file: str | None = None
    backing: tuple[int, int] | None = None
    switch: Switch | None = None
    stale: tuple[int, ...] = ()

    def partition(self, number: int) -> Partition | None:
        """The partition of that number, or None."""
        for partition in self.partitions:
            if partition.number == number:
                return partition
        return None

    def describe(self) -> str:
        """What a person recognises the disk by: path, identifier, model, serial and size."""
        return "%s (PTUUID %s, model %s, serial %s, %s)" % (
            self.path,
            self.ptuuid or "unknown",
            self.model or "unknown",
            self.serial or "unknown",
            human_bytes(self.size),
        )


@dataclass(frozen=True)
class Machine:
    """Everything that was observed at one moment.

    ``ancestry`` maps the devno of every block device to the devnos of the whole disks that it lives on,
    through partitions, LUKS, LVM, md and loop backing files: ``{"253:0": ("8:0",)}``. It also has the device
    numbers of btrfs and overlay mounts, which are no block device's.
    ``mounts`` are all mounts of this mount namespace, whatever they are on. ``swap_files`` are paths.
    ``below`` maps the devno of every block device and of every mount to all devnos that writing there ends on, at any
    depth, also through overlays. ``places`` does so for files that discovery has looked at: swap files, and the
    directory of the journal. Use both through ``places.beneath``.
    """

    disks: tuple[Disk, ...]
    mounts: tuple[Mount, ...] = ()
    ancestry: dict[str, tuple[str, ...]] | None = None
    swap_files: tuple[str, ...] = ()
    below: dict[str, tuple[str, ...]] = field(default_factory=dict)
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def disks_under(self, devno: str) -> tuple[str, ...]:
        """The devnos of the whole disks that the device ``devno`` lives on, itself if it is one."""
        return (self.ancestry or {}).get(devno, ())
