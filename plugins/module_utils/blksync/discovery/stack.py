# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds out which devices are stacked on which, which mounts and swap use them, and which disks they are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable

from ..system.mountinfo import Mount
from .extents import extents
from .loops import filesystem
from .overlays import read_layers, written_layers
from .places import mount_of
from .sysfs import BlockDevice

ANONYMOUS = "0:"  # the major of file systems without a block device of their own (proc, tmpfs, and btrfs)
# Of those, the ones that lie on block devices all the same: their source names one that root mounted. The source of any
# other mount is free text. A FUSE mount's is what its user likes ("-o fsname=/dev/sda2", fusermount3(1)), and
# fuseblk, which does have a block device, shows its number (fs/fuse/inode.c, get_tree_bdev).
BLOCK_BACKED = ("btrfs", "bcachefs")


@dataclass(frozen=True)
class KernelFacts:
    """All that was read. ``btrfs`` are the member device names of each btrfs file system.

    ``resolve`` turns a path into the devno of the block device behind it, or None, ``realpath`` into one without
    symbolic links.
    """

    devices: dict[str, BlockDevice]
    mounts: tuple[Mount, ...]
    swaps: tuple[str, ...]
    btrfs: tuple[tuple[str, ...], ...]
    resolve: Callable[[str], str | None]
    realpath: Callable[[str], str] = str


class Stack:
    """The devices of an ``KernelFacts`` as a graph, asked by kernel name."""

    def __init__(self, facts: KernelFacts) -> None:
        self.devices = facts.devices
        self._facts = facts
        self.all_mounts = facts.mounts
        self._by_devno = {device.devno: name for name, device in self.devices.items()}
        self._by_path = {device.path: name for name, device in self.devices.items()}
        self._by_path.update(("/dev/%s" % name, name) for name in self.devices)
        self._mount_names = [(mount, self._names_of_mount(mount)) for mount in facts.mounts]
        self._swaps = {self.name_of_path(path) for path in facts.swaps}
        self.below = {
            name: tuple(lower for lower in device.below if lower in self.devices)
            for name, device in self.devices.items()
        }
        # What each partition, or loop device over a device's node, is a range of.
        self._within = {
            name: lowers[0]
            for name, lowers in self.below.items()
            if self.devices[name].kind == "partition" and len(lowers) == 1
        }
        for device in self.devices.values():
            if device.backing_file:
                self.below[device.name] = self._below_loop(device)
        self.above: dict[str, list[str]] = {name: [] for name in self.devices}
        for name, lowers in self.below.items():
            for lower in lowers:
                self.above[lower].append(name)
        self._extents = extents(self.devices, self._within)
        self._by_medium: dict[object, list[str]] = {}
        for name, extent in self._extents.items():
            self._by_medium.setdefault(extent.medium, []).append(name)

    def name_of_path(self, path: str) -> str | None:
        """The device behind a path of /dev; by the kernel's own name first, which needs no node."""
        return self._by_path.get(path) or self._by_devno.get(self._facts.resolve(path) or "")

    def mounts(self, name: str) -> tuple[Mount, ...]:
        """The mounts of the device itself, in the kernel's order."""
        return tuple(mount for mount, names in self._mount_names if name in names)

    def is_swap(self, name: str) -> bool:
        """True if the device itself is swapped to."""
        return name in self._swaps

    def everything_below(self, names: Iterable[str]) -> set[str]:
        """These devices and all that they are made of."""
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(self.below.get(name, ()))
        return seen

    def everything_above(self, name: str) -> set[str]:
        """This device and all that is stacked on it."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            upper = waiting.pop()
            if upper not in seen:
                seen.add(upper)
                waiting.extend(self.above[upper])
        return seen

    def sharing(self, name: str) -> list[str]:
        """Other devices that have bytes of this one, are in use or could be, and are not stacked on it.

        What is the content of one partition counts for that partition alone. The lowest come first.
        """
        mine = self._extents.get(name)
        if mine is None:
            return []
        kin = self.everything_above(name) | self.everything_below([name])
        return sorted(
            (
                other
                for other in self._by_medium[mine.medium]
                if other not in kin and self._extents[other].overlaps(mine) and self._counts(name, other)
            ),
            key=lambda other: len(self.everything_below([other])),
        )

    def _counts(self, name: str, other: str) -> bool:
        """Whether ``other``, which has bytes of ``name``, may write to them: a loop device also if it is idle."""
        if self.devices[name].kind != "partition":
            return self._in_use(other, self.above[other]) or self.devices[other].kind == "loop"
        if self._is_sibling(name, other) or self._is_content_of_sibling(name, other):
            return False
        partitions = self.partitions(other)  # they count by themselves
        idle = self.devices[other].kind == "loop" and not partitions
        placed = self._extents[other].is_content_of(self._extents[name])
        return self._in_use(other, set(self.above[other]) - {each.name for each in partitions}) or (idle and placed)

    def _in_use(self, name: str, uppers: Iterable[str]) -> bool:
        return bool(self.mounts(name) or self.is_swap(name) or list(uppers))

    def users_of_whole(self, name: str) -> dict[str, list[str]]:
        """The devices that this one is a range of and that are in use as a whole, with the mappings on them.

        Where a mapping (LVM, md, dm-linear) has its bytes is not looked up: it may be anywhere on the device.
        """
        family = self.everything_above(name)
        found: dict[str, list[str]] = {}
        while name in self._within and self._within[name] not in found:
            name = self._within[name]
            ranges = ("partition", "loop")  # of these it is known: see sharing()
            mappings = [each for each in self.above[name] if each not in family | set(found)]
            mappings = [each for each in mappings if self.devices[each].kind not in ranges]
            if self._in_use(name, mappings):
                found[name] = mappings
        return found

    def is_range_of_same(self, name: str, other: str) -> bool:
        """Whether what is written to ``other`` passes through the device that ``name`` is a range of."""
        return self._within.get(name) in self.everything_below([other])

    def _is_sibling(self, name: str, other: str) -> bool:
        kinds = {self.devices[name].kind, self.devices[other].kind}
        return kinds == {"partition"} and self.below[name] == self.below[other]

    def _is_content_of_sibling(self, name: str, other: str) -> bool:
        """Whether it belongs to another partition of the same disk alone."""
        siblings = [each for each in self._extents if each != name and self._is_sibling(name, each)]
        return any(self._extents[other].is_content_of(self._extents[each]) for each in siblings)

    def partitions(self, name: str) -> list[BlockDevice]:
        """The partitions of a device, by number."""
        uppers = [self.devices[upper] for upper in self.above[name]]
        return sorted((upper for upper in uppers if upper.kind == "partition"), key=lambda upper: upper.number)

    def is_disk(self, name: str) -> bool:
        """True for a whole disk: hardware, a loop device, a multipath map, or another mapping that has partitions.

        A path below a multipath map is none: the map stands for it.
        """
        kind = self.devices[name].kind
        if kind == "disk":
            return not any(self.devices[upper].kind == "mpath" for upper in self.above[name])
        return kind in ("loop", "mpath") or (kind in ("dm", "raid") and bool(self.partitions(name)))

    def ancestry(self) -> dict[str, tuple[str, ...]]:
        """``machine.Machine.ancestry``; the device numbers of btrfs and overlay mounts, which are no block device's,
        included."""
        found = {device.devno: self._disks([name]) for name, device in self.devices.items()}
        for mount in self._facts.mounts:
            names = self._names_below(mount, read_layers)
            if names and mount.devno not in found:
                found[mount.devno] = self._disks(names)
        return found

    def written_below(self) -> dict[str, tuple[str, ...]]:
        """``machine.Machine.below``."""
        found = {device.devno: self._devnos([name]) for name, device in self.devices.items()}
        for mount in self._facts.mounts:
            names = self._names_below(mount, written_layers)
            if names and mount.devno not in found:
                found[mount.devno] = self._devnos(names)
        return found

    def beneath_file(self, path: str, identity: tuple[int, int] | None) -> tuple[str, ...]:
        """``machine.Machine.places`` for one file; ``identity`` is its st_dev and st_ino, None if nothing is there."""
        name = self._by_devno.get(filesystem(identity[0])) if identity else None
        if name:
            return self._devnos([name])
        mount = mount_of(self._facts.mounts, path)
        names = self._names_below(mount, written_layers) if mount else ()
        return tuple(dict.fromkeys((mount.devno, *self._devnos(names)))) if mount else ()

    def _devnos(self, names: Iterable[str]) -> tuple[str, ...]:
        lower = self.everything_below(names)
        return tuple(device.devno for name, device in self.devices.items() if name in lower)

    def _disks(self, names: Iterable[str]) -> tuple[str, ...]:
        lower = self.everything_below(names)
        for name in list(lower):  # a multipath map stands for the paths below it
            lower.update(upper for upper in self.above[name] if self.devices[upper].kind == "mpath")
        return tuple(device.devno for name, device in self.devices.items() if name in lower and self.is_disk(name))

    def _names_of_mount(self, mount: Mount) -> tuple[str, ...]:
        """The devices that a mounted file system lies on: several for btrfs, none if the kernel names none."""
        if mount.devno in self._by_devno:
            return (self._by_devno[mount.devno],)
        if mount.fstype not in BLOCK_BACKED or not mount.devno.startswith(ANONYMOUS):
            return ()
        sources = {self.name_of_path(path) for path in mount.source.split(":") if path.startswith("/dev/")} - {None}
        if mount.fstype == "btrfs":
            # An unknown source ("/dev/root") may be any of them: better one too many than one too few.
            groups = [group for group in self._facts.btrfs if not sources or sources.intersection(group)]
            sources.update(name for group in groups for name in group)
        return tuple(name for name in self.devices if name in sources)

    def _names_below(
        self, mount: Mount, layers: Callable[[Mount], tuple[str, ...]], passed: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """The devices that a mount lies on, overlays looked through by ``layers``.

        A directory that lies on the overlay itself was named in another mount namespace: nothing is known of it.
        """
        names = self._names_of_mount(mount)
        if names:
            return names
        found: set[str] = set()
        passed = (*passed, mount.devno)
        for directory in layers(mount):
            lower = mount_of(self._facts.mounts, self._facts.realpath(directory))
            if lower and lower.devno not in passed:
                found.update(self._names_below(lower, layers, passed))
        return tuple(name for name in self.devices if name in found)

    def _below_loop(self, loop: BlockDevice) -> tuple[str, ...]:
        """The devices that a loop device lies on: by the kernel's word, else those of the mount around its path.

        A mount that lies on the loop device itself hides the file's place and is passed over.
        """
        path, backing = loop.backing_file or "", loop.backing
        device = self._by_devno.get(backing.devno) if backing else self.name_of_path(path)
        if device == loop.name:
            return ()
        if device is None and backing:
            device = self._by_devno.get(backing.filesystem)
        elif device:
            self._within[loop.name] = device
        if device:
            return (device,)
        mounts = [mount for mount in self._facts.mounts if backing and mount.devno == backing.filesystem]
        if not mounts:
            hidden = [mount for mount, names in self._mount_names if loop.name in self.everything_below(names)]
            around = mount_of([mount for mount in self._facts.mounts if mount not in hidden], path)
            mounts = [around] if around else []
        layers = read_layers if loop.read_only else written_layers
        return self._names_below(mounts[0], layers) if mounts else ()
