# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds all reasons to refuse a plan, from plain data only.

It does not stop at the first reason: all are reported together, before anything is touched.
"""

from __future__ import annotations

from typing import Iterator, Sequence

from ..discovery.model import Disk, Machine, Partition
from ..errors import Refusal
from ..system.mountinfo import Mount
from . import partition_types, sfdisk_lines
from .plan import Pair

# Where a running Linux keeps itself: a disk that carries one of these is in use by the system, not a backup.
SYSTEM_MOUNTPOINTS = frozenset(("/", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/usr", "/var", "/etc", "/nix"))
EXTENDED_TYPES = frozenset(("0x5", "0xf", "0x85"))  # MBR types of extended partitions (UEFI specification, 5.2.2)


def is_extended(partition: Partition) -> bool:
    """Whether it is a container of logical partitions, of which the kernel shows only the beginning."""
    return (partition.parttype or "").lower() in EXTENDED_TYPES


def disk_refusals(machine: Machine, source: Disk, target: Disk, protected: Sequence[Disk]) -> Iterator[Refusal]:
    """Reasons that concern the two disks as a whole."""
    if source.devno == target.devno:
        yield Refusal("same_disk", "Source and target are the same disk, %s." % source.describe(), "Name two disks.")
        return
    for upper, lower in ((source, target), (target, source)):
        if lower.devno in machine.disks_under(upper.devno):
            yield Refusal(
                "stacked_disks",
                "%s lives on %s." % (upper.describe(), lower.describe()),
                "A disk cannot be the backup of one that it carries; name two independent disks.",
            )
    if target.read_only:
        yield Refusal(
            "target_read_only", "Target disk %s is read-only." % target.path, "Look for a write-protect switch on it."
        )
    if any(disk.devno in (target.devno, *machine.disks_under(target.devno)) for disk in protected):
        yield Refusal(
            "target_protected",
            "The target %s is protected." % target.describe(),
            "Name another target, or take the disk out of the option protected.",
        )
    yield from running_system(machine, target)
    yield from in_use("Target disk", target.path, target.mounts, target.swap, target)


def pair_refusals(source: Disk, target: Disk, number: int) -> Iterator[Refusal]:
    """Reasons that concern one pair: missing, unequal, extended, or a target partition in use."""
    ours, theirs = source.partition(number), target.partition(number)
    for role, disk, partition in (("Source", source, ours), ("Target", target, theirs)):
        if partition is None and (disk.partitions or disk.stale):
            yield Refusal(
                "partition_missing",
                "%s disk %s has no partition %d." % (role, disk.describe(), number),
                "It has %s.%s"
                % (
                    ", ".join(str(p.number) for p in disk.partitions) or "none that the kernel shows",
                    sfdisk_lines.make(ours) if ours else "",
                ),
            )
        elif partition and is_extended(partition):
            yield Refusal(
                "extended_partition",
                "%s partition %s is an extended partition, a container of others." % (role, partition.path),
                "Name the logical partitions inside it.",
            )
    if ours and theirs and ours.size != theirs.size:
        yield Refusal(
            "size_differs",
            "Partition %d differs in size: %s has %d bytes, %s has %d bytes."
            % (number, ours.path, ours.size, theirs.path, theirs.size),
            sfdisk_lines.resize(target, ours, theirs),
        )
    if theirs:
        if theirs.read_only and not target.read_only:
            yield Refusal("target_read_only", "Target partition %s is read-only." % theirs.path)
        yield from in_use("Target partition", theirs.path, theirs.mounts, theirs.swap, theirs)


def empty_disk_refusals(source: Disk, target: Disk) -> Iterator[Refusal]:
    """A disk that has no partitions except containers; reported once for each disk."""
    for role, disk in (("Source", source), ("Target", target)):
        if not disk.stale and all(map(is_extended, disk.partitions)):
            hint = "Name the disk that has the partitions."
            yield Refusal(
                "partition_missing" if disk.table else "%s_has_no_table" % role.lower(),
                "%s disk %s has no %s." % (role, disk.describe(), "partitions" if disk.table else "partition table"),
                sfdisk_lines.same_layout(source, disk) if disk is target else hint,
            )


def type_refusals(target: Disk, ours: Partition, theirs: Partition) -> Iterator[Refusal]:
    """Where the whole source is wanted: a pair whose types differ, or are unknown."""
    found = partition_types.difference(target, ours, theirs)
    unknown = partition_types.unknown(ours, theirs)
    if found:
        yield Refusal("type_differs", found.message, found.hint)
    elif unknown:
        yield Refusal(
            "type_unknown",
            "The partition type of %s is unknown." % unknown,
            "Install blkid (util-linux), or list the partitions by number.",
        )


def rate_refusals(pairs: Sequence[Pair], rate: int, timeout: int) -> Iterator[Refusal]:
    """Sources that stay quiesced until all of them have been read at ``rate`` bytes a second (0: no limit), which takes
    more than ``timeout`` seconds."""
    seconds = sum(pair.size for pair in pairs if pair.quiesce.steps) // rate if rate else 0
    if seconds > timeout:
        yield Refusal(
            "rate_limit_too_low",
            "At %d bytes a second, file systems would be frozen or unmounted for at least %d seconds; at most %d are "
            "allowed." % (rate, seconds, timeout),
            "Increase the option rate_limit or the option quiesce_timeout.",
        )


def power_off_refusals(target: Disk, checked: Sequence[int] = ()) -> Iterator[Refusal]:
    """Reasons against powering the target off, its switch and its uses.

    Where ``checked`` is given, uses of the disk itself and of the partitions of these numbers are left out: those
    ``disk_refusals`` and ``pair_refusals`` report.
    """
    if target.switch is None:
        yield Refusal(
            "power_off_not_possible",
            "Target disk %s cannot be powered off by software." % target.describe(),
            "Set the option power_off to false for this disk.",
        )
    elif target.switch.others:
        yield Refusal(
            "power_off_shared_device",
            "Target disk %s shares its USB device with %s, which would be powered off as well."
            % (target.describe(), ", ".join(target.switch.others)),
            "Set the option power_off to false for this disk.",
        )
    devices: list[Disk | Partition] = [] if checked else [target]
    devices += [partition for partition in target.partitions if partition.number not in checked]
    for device in devices:
        for use in in_use(
            "Target disk" if device is target else "Target partition", device.path, device.mounts, device.swap, device
        ):
            yield Refusal("power_off_target_in_use", use.message, use.hint)


def stale_table_refusals(role: str, disk: Disk, numbers: Sequence[int]) -> Iterator[Refusal]:
    """A kernel that still goes by an older partition table would read and write at the older places.

    Partitions that only the table has count where they are in ``numbers``.
    """
    stale = [number for number in disk.stale if disk.partition(number) or number in numbers]
    if stale:
        yield Refusal(
            "partition_table_stale",
            "%s disk %s: the kernel does not have partition %s as the partition table says."
            % (role, disk.describe(), ", ".join(map(str, stale))),
            _reread(disk),
        )


def _reread(disk: Disk) -> str:
    """How to make the kernel take the table. If it shows no partition at all, it may have refused the table.

    It does so for a GPT that was made for sectors of another size or for a larger disk (is_gpt_valid(),
    block/partitions/efi.c).
    """
    again = "Run partprobe %s or blockdev --rereadpt %s, or replug the disk." % (disk.path, disk.path)
    if disk.partitions:
        return again
    return (
        "%s If that does not help, the kernel refuses the table: it may be made for a larger disk, or for sectors that "
        "are not of %d bytes. Then sfdisk --verify %s says what is wrong; connect the disk as it was when it was "
        "partitioned, or partition it anew." % (again, disk.logical_sector, disk.path)
    )


def overlap_refusals(role: str, disk: Disk, numbers: Sequence[int]) -> Iterator[Refusal]:
    """Reasons from a partition table in which a chosen partition shares bytes with any other."""
    for number in numbers:
        chosen = disk.partition(number)
        if chosen is None:
            continue
        for other in disk.partitions:
            # An extended partition's node covers only its first sectors: it shares nothing that is copied.
            if other.number == number or is_extended(other):
                continue
            apart = other.start >= chosen.start + chosen.size or chosen.start >= other.start + other.size
            if not apart and (other.number not in numbers or other.number > number):
                yield Refusal(
                    "overlapping_partitions",
                    "%s partitions %s and %s overlap." % (role, chosen.path, other.path),
                    "Repair the partition table of %s first." % disk.path,
                )


def running_system(machine: Machine, target: Disk) -> Iterator[Refusal]:
    """The running system, or half of it, on the target: then it is no backup but what we stand on."""
    found = [
        mount
        for mount in machine.mounts
        if mount.mountpoint in SYSTEM_MOUNTPOINTS and target.devno in machine.disks_under(mount.devno)
    ]
    if found:
        yield Refusal(
            "target_runs_system",
            "The running system uses the target %s: %s." % (target.describe(), _mountpoints(found)),
            "Boot from the main disk alone (both disks carry the same UUIDs), or swap source and target.",
        )


def in_use(role: str, path: str, mounts: Sequence[Mount], swap: bool, device: Disk | Partition) -> Iterator[Refusal]:
    """Reasons not to write to a device: something is mounted from it, swaps to it or is stacked on it."""
    if mounts:
        yield Refusal(
            "target_mounted",
            "%s %s is mounted at %s." % (role, path, _mountpoints(mounts)),
            "Unmount it and run again.",
        )
    if swap:
        yield Refusal("target_swap", "%s %s is used as swap." % (role, path), "Run swapoff %s and try again." % path)
    for holder in device.holders:
        above = [mount for item in holder.tree() for mount in item.mounts]
        used = " (mounted at %s)" % _mountpoints(above) if above else ""
        used += " (swap)" if any(item.swap for item in holder.tree()) else ""
        yield Refusal(
            "target_held",
            "%s %s is held by %s %s%s." % (role, path, holder.kind, holder.path, used),
            "Close it (%s) and run again." % _CLOSE.get(holder.kind, "dmsetup remove"),
        )


_CLOSE = {
    "crypt": "cryptsetup close",
    "lvm": "vgchange --activate n",
    "raid": "mdadm --stop",
    "mpath": "multipath -f",
    "loop": "losetup --detach",
    "alias": "umount, losetup --detach",
    "disk": "umount",
    "partition": "umount",
}


def _mountpoints(mounts: Sequence[Mount]) -> str:
    return ", ".join(sorted({mount.mountpoint for mount in mounts}))
