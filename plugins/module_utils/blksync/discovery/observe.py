# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Observes the machine: the structure in sysfs, the use in mountinfo and swaps, the identifiers by lsblk and blkid.

Works with and without udev, and opens devices only for reading.
"""

from __future__ import annotations

from typing import Sequence

from ..errors import BlksyncError
from ..partition_table.entries import Known, differing
from ..partition_table.read import read_table
from ..system.mountinfo import parse_mountinfo, parse_swaps
from .host import System
from .model import Disk, Holder, Machine, Partition
from .places import JOURNAL_DIR
from .power import find_switch
from .probes import BLKID, LSBLK, Facts, merge, parse_blkid, parse_lsblk
from .stack import KernelFacts, Stack
from .sysfs import BlockDevice, read_devices

BTRFS = "/sys/fs/btrfs"


def observe(system: System | None = None) -> Machine:
    """Every disk of the machine, what is on it and what uses it, at this moment.

    Raises BlksyncError if the mounts cannot be read; a device that vanishes is left out.
    """
    system = system or System()
    swap_devices, swap_files = parse_swaps(system.text("/proc/swaps") or "")
    stack = _stack(system, swap_devices)
    describe = _Describer(system, stack)
    return Machine(
        disks=tuple(describe.disk(device) for device in stack.devices.values() if stack.is_disk(device.name)),
        mounts=stack.all_mounts,
        ancestry=stack.ancestry(),
        swap_files=swap_files,
        below=stack.written_below(),
        places={
            **{path: stack.beneath_file(path, system.identity(path)) for path in swap_files},
            JOURNAL_DIR: stack.beneath_file(system.realpath(JOURNAL_DIR), system.identity(JOURNAL_DIR)),
        },
    )


def unread(disks: Sequence[Disk], system: System | None = None) -> str:
    """A sentence on the disks that this user may not read, or "". Of them only sysfs and udev were asked."""
    system = system or System()
    paths = [disk.path for disk in disks if not system.may_read(disk.path)]
    if not paths:
        return ""
    return (
        "This user may not read %s. Identifiers, file systems and what loop devices lie on may be missing or old. "
        "Root sees all of them." % ", ".join(paths)
    )


def beneath_path(path: str, system: System | None = None) -> frozenset[str]:
    """As ``places.beneath`` for any path, from the structure alone: no program is run and no disk is read.

    Raises BlksyncError if the mounts cannot be read.
    """
    system = system or System()
    return frozenset(_stack(system, ()).beneath_file(system.realpath(path), system.identity(path)))


def _stack(system: System, swaps: tuple[str, ...]) -> Stack:
    devices = read_devices(system)
    mountinfo = system.text("/proc/self/mountinfo")
    if mountinfo is None:
        raise BlksyncError("Cannot read /proc/self/mountinfo.", "Mount /proc and run again.")
    mounts, btrfs = parse_mountinfo(mountinfo), _btrfs_members(system)
    return Stack(KernelFacts(devices, mounts, swaps, btrfs, system.device_number, system.realpath))


def _btrfs_members(system: System) -> tuple[tuple[str, ...], ...]:
    """The member devices of each btrfs file system; directories without "devices" (features, debug) give none."""
    members = (tuple(system.names("%s/%s/devices" % (BTRFS, name))) for name in system.names(BTRFS))
    return tuple(group for group in members if group)


class _Describer:
    """Puts what the sources say of a device together."""

    def __init__(self, system: System, stack: Stack) -> None:
        self.system = system
        self.stack = stack
        self.lsblk = parse_lsblk(system.run(*LSBLK) or "")
        self.blkid = self._ask_blkid()
        self.links: dict[str, list[str]] = {}
        for path, devno in system.links().items():
            self.links.setdefault(devno, []).append(path)

    def _ask_blkid(self) -> dict[str, Facts]:
        """blkid's facts on what lsblk knows nothing of, as without udev, or on partitions without a known start."""
        disks = [name for name in self.stack.devices if self.stack.is_disk(name)]
        partitions = [partition for name in disks for partition in self.stack.partitions(name)]
        unknown = [part.path for part in partitions if part.start is None or not self._from_lsblk(part).partuuid]
        mappings = [device for device in self.stack.devices.values() if device.below and device.kind != "partition"]
        unknown += [mapping.path for mapping in mappings if not self._from_lsblk(mapping).fstype]
        # One by one: blkid stops at the first that it recognises nothing on.
        outputs = (self.system.run(*BLKID, path) or "" for path in unknown)
        return {path: facts for output in outputs for path, facts in parse_blkid(output).items()}

    def _from_lsblk(self, device: BlockDevice) -> Facts:
        return self.lsblk.get(device.devno, Facts())

    def facts(self, device: BlockDevice) -> Facts:
        """The first of lsblk, blkid and sysfs that knows, fact by fact; for a multipath map then its first path."""
        sysfs = Facts(device.model, device.vendor, device.serial, device.wwn, device.transport, start=device.start)
        sources = (self._from_lsblk(device), self.blkid.get(device.path, Facts()), sysfs)
        paths = self.stack.below[device.name] if device.kind == "mpath" else ()
        return merge(*sources, *(self.facts(self.stack.devices[path]) for path in paths[:1]))

    def disk(self, device: BlockDevice) -> Disk:
        facts = self.facts(device)
        # The table itself is asked first: udev's database may be older than the table.
        written = read_table(
            lambda offset, length: self.system.read(device.path, device.devno, offset, length),
            device.logical_sector,
            device.size,
        )
        table, ptuuid = (written.kind, written.identifier) if written.kind else (facts.table, facts.ptuuid)
        partitions = tuple(self.partition(partition) for partition in self.stack.partitions(device.name))
        known = (Known(part.number, part.start, part.size) for part in partitions)
        return Disk(
            name=device.name,
            path=device.path,
            devno=device.devno,
            size=device.size,
            diskseq=device.diskseq,
            logical_sector=device.logical_sector,
            physical_sector=device.physical_sector,
            read_only=device.read_only,
            removable=device.removable,
            rotational=device.rotational,
            model=facts.model,
            vendor=facts.vendor,
            serial=facts.serial,
            wwn=facts.wwn,
            transport=facts.transport,
            links=self._links(device),
            table=table,
            ptuuid=ptuuid.lower() if ptuuid else None,
            partitions=partitions,
            mounts=self.stack.mounts(device.name),
            swap=self.stack.is_swap(device.name),
            holders=self.holders(device.name, with_partitions=False) + self.sharers(device.name),
            backing_file=device.backing_file,
            backing=(device.backing.device, device.backing.inode) if device.backing else None,
            stale=() if written.entries is None else differing(written.entries, known),
            switch=find_switch(self.system, device, self.stack.devices.values()),
        )

    def partition(self, device: BlockDevice) -> Partition:
        facts = self.facts(device)
        return Partition(
            number=device.number,
            name=device.name,
            path=device.path,
            devno=device.devno,
            start=facts.start or 0,
            size=device.size,
            read_only=device.read_only,
            partuuid=facts.partuuid,
            parttype=facts.parttype,
            fstype=facts.fstype,
            label=facts.label,
            uuid=facts.uuid,
            links=self._links(device),
            mounts=self.stack.mounts(device.name),
            swap=self.stack.is_swap(device.name),
            holders=self.holders(device.name) + self.sharers(device.name),
        )

    def holders(self, name: str, with_partitions: bool = True) -> tuple[Holder, ...]:
        """What is stacked on a device, at any depth. A disk's own partitions are no holders of it."""
        uppers = self.stack.above[name]
        kept = [upper for upper in uppers if with_partitions or self.stack.devices[upper].kind != "partition"]
        return tuple(self.holder(upper, self.holders(upper)) for upper in kept)

    def holder(self, name: str, holders: tuple[Holder, ...], kind: str = "") -> Holder:
        """One device as what holds another, with what is stacked on it."""
        device = self.stack.devices[name]
        return Holder(
            name=name,
            path=device.path,
            devno=device.devno,
            kind=kind or device.kind,
            mounts=self.stack.mounts(name),
            swap=self.stack.is_swap(name),
            holders=holders,
            fstype=self.facts(device).fstype,
        )

    def sharers(self, name: str) -> tuple[Holder, ...]:
        """What uses the same bytes without being stacked on the device, as holders of it."""
        whole = self.stack.devices[name].kind != "partition"
        found: list[Holder] = []
        for other in self.stack.sharing(name):
            if not any(other == each.name for holder in found for each in holder.tree()):
                kind = "" if self.stack.is_range_of_same(name, other) else "alias"
                found.append(self.holder(other, self.holders(other, with_partitions=whole), kind))
        for other, mappings in self.stack.users_of_whole(name).items():
            uppers = tuple(self.holder(upper, self.holders(upper)) for upper in mappings)
            found.append(self.holder(other, uppers, "disk"))
        return tuple(found)

    def _links(self, device: BlockDevice) -> tuple[str, ...]:
        return tuple(self.links.get(device.devno, ()))
