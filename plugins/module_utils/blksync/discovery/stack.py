# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What lies on what: which devices are made of which, which mounts and swap use them, which disks they live on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable

from ..machine import Mount
from .sysfs import BlockDevice

ANONYMOUS = "0:"  # the major of file systems without a block device of their own (proc, tmpfs, and btrfs)


@dataclass(frozen=True)
class Evidence:
    """All that was read. ``btrfs`` are the member device names of each btrfs file system.

    ``resolve`` turns a path into the devno of the block device behind it, or None.
    """

    devices: dict[str, BlockDevice]
    mounts: tuple[Mount, ...]
    swaps: tuple[str, ...]
    btrfs: tuple[tuple[str, ...], ...]
    resolve: Callable[[str], str | None]


class Stack:
    """The devices of an ``Evidence`` as a graph, asked by kernel name."""

    def __init__(self, evidence: Evidence) -> None:
        self.devices = evidence.devices
        self._evidence = evidence
        self._by_devno = {device.devno: name for name, device in self.devices.items()}
        self._by_path = {device.path: name for name, device in self.devices.items()}
        self._by_path.update(("/dev/%s" % name, name) for name in self.devices)
        self._mount_names = [(mount, self._names_of_mount(mount)) for mount in evidence.mounts]
        self._swaps = {self.name_of_path(path) for path in evidence.swaps}
        self.below = {
            name: tuple(lower for lower in device.below if lower in self.devices)
            for name, device in self.devices.items()
        }
        for device in self.devices.values():
            if device.backing_file:
                self.below[device.name] = self._below_loop(device.name, device.backing_file)
        self.above: dict[str, list[str]] = {name: [] for name in self.devices}
        for name, lowers in self.below.items():
            for lower in lowers:
                self.above[lower].append(name)

    def name_of_path(self, path: str) -> str | None:
        """The device behind a path of /dev; by the kernel's own name first, which needs no node."""
        return self._by_path.get(path) or self._by_devno.get(self._evidence.resolve(path) or "")

    def mounts(self, name: str) -> tuple[Mount, ...]:
        """The mounts of the device itself, in the kernel's order."""
        return tuple(mount for mount, names in self._mount_names if name in names)

    def is_swap(self, name: str) -> bool:
        """True where the device itself is swapped to."""
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
        """``machine.Machine.ancestry``; the device numbers of btrfs mounts, which are no block device's, included."""
        found = {device.devno: self._disks([name]) for name, device in self.devices.items()}
        for mount, names in self._mount_names:
            if names and mount.devno not in found:
                found[mount.devno] = self._disks(names)
        return found

    def _disks(self, names: Iterable[str]) -> tuple[str, ...]:
        lower = self.everything_below(names)
        for name in list(lower):  # a multipath map stands for the paths below it
            lower.update(upper for upper in self.above[name] if self.devices[upper].kind == "mpath")
        return tuple(device.devno for name, device in self.devices.items() if name in lower and self.is_disk(name))

    def _names_of_mount(self, mount: Mount) -> tuple[str, ...]:
        """The devices that a mounted file system lies on: several for btrfs, none where the kernel names none."""
        if mount.devno in self._by_devno:
            return (self._by_devno[mount.devno],)
        if not mount.devno.startswith(ANONYMOUS):
            return ()
        sources = {self.name_of_path(path) for path in mount.source.split(":") if path.startswith("/dev/")} - {None}
        if mount.fstype == "btrfs":
            # An unknown source ("/dev/root") may be any of them: better one too many than one too few.
            groups = [group for group in self._evidence.btrfs if not sources or sources.intersection(group)]
            sources.update(name for group in groups for name in group)
        return tuple(name for name in self.devices if name in sources)

    def _below_loop(self, loop: str, backing_file: str) -> tuple[str, ...]:
        """The devices that a loop device's file lies on: those of the innermost mount around the file.

        A mount that lies on the loop device itself hides the file's place and is passed over.
        """
        device = self.name_of_path(backing_file)
        if device:
            return () if device == loop else (device,)
        around = [pair for pair in self._mount_names if _contains(pair[0].mountpoint, backing_file)]
        around.reverse()  # of several mounts on one folder the last is in front
        for _mount, names in sorted(around, key=lambda pair: -len(pair[0].mountpoint)):
            if loop not in self.everything_below(names):
                return names
        return ()


def _contains(folder: str, path: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
