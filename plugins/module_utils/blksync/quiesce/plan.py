# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Plans how a source partition is quiesced: from the observed machine to the steps and the refusals. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Iterator, Sequence

from ..discovery.model import Disk, Holder, Machine, Partition
from ..discovery.places import JOURNAL_DIR, beneath
from ..errors import Refusal
from ..system.mountinfo import Mount
from .mount_options import Propagation
from .mount_order import contains, order_of, related
from .step import FREEZE, JOURNAL, UNMOUNT, Step

# File systems of the kernel without freeze_fs: FIFREEZE says "Operation not supported".
UNFREEZABLE = frozenset(
    ("affs", "exfat", "hfs", "hfsplus", "minix", "msdos", "ntfs", "ntfs3", "sysv", "ubifs", "udf", "ufs", "vfat")
)
# A program behind them answers for the file system, and only it could mount it again.
IN_USER_SPACE = ("fuse", "fuseblk")
HIBERNATION = ("swsuspend", "swsupend")  # blkid's type of a swap area that holds an image, old spelling included


@dataclass(frozen=True)
class Claim:
    """A device stacked on the source that nothing uses: held exclusively, so that nothing begins to."""

    path: str
    devno: str


@dataclass(frozen=True)
class QuiescePlan:
    """``steps`` in the order of doing; they are undone in reverse. Nothing may be done while ``refusals`` stand.

    ``read_only`` are the devnos, sorted, of what holds still without a step: as long as none is mounted for writing.
    ``warnings`` are sentences for the user.
    """

    device: str = ""
    steps: tuple[Step, ...] = ()
    claims: tuple[Claim, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    read_only: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _BackingDevice:
    """A device of the stack on the partition. ``depth`` counts the devices below it.

    ``nested``: it is made of a file of another file system of the stack.
    """

    path: str
    devno: str
    mounts: tuple[Mount, ...]
    swap: bool
    leaf: bool
    depth: int
    nested: bool


@dataclass(frozen=True)
class _FileSystem:
    backing: _BackingDevice
    mounts: tuple[Mount, ...]

    @property
    def fstype(self) -> str:
        return self.mounts[0].fstype

    @property
    def mountpoints(self) -> list[str]:
        return [mount.mountpoint for mount in self.mounts]

    @property
    def writable(self) -> bool:
        """Read-only mounts of a writable file system do not stop its own writing, or that of another namespace."""
        return not self.mounts[0].holds_still


def steps_for(
    machine: Machine, partition: Partition, mode: str, unfreezable: Collection[str] = UNFREEZABLE
) -> QuiescePlan:
    """How ``partition`` is quiesced under ``mode`` ("none", "freeze" or "auto").

    Under "none" nothing is done, and a partition that is in use for writing is refused.
    """
    devices = list(_backing_devices(machine, partition))
    mounted = list(_file_systems(machine, devices))
    filesystems = [fs for fs in mounted if fs.writable]
    refusals = [*_swap_refusals(machine, partition, devices, filesystems), *_spanning(machine, partition)]
    claims = tuple(Claim(c.path, c.devno) for c in devices if c.depth and c.leaf and not (c.mounts or c.swap))
    if mode == "none":
        refusals += [_in_use(partition, fs) for fs in filesystems]
        return QuiescePlan(partition.path, (), claims, tuple(refusals), _read_only(mounted))
    steps: list[Step] = []
    warnings: list[str] = []
    for fs in filesystems:
        in_user_space = fs.fstype.split(".")[0] in IN_USER_SPACE
        if fs.fstype not in unfreezable and not in_user_space:
            steps.append(_step(FREEZE, machine, fs))
        elif fs.backing.nested:  # the frozen file system below holds the image file still
            warnings.append(_as_after_a_power_cut(fs))
        elif in_user_space:
            refusals.append(_cannot_quiesce(fs))
        else:
            steps.append(_step(UNMOUNT, machine, fs))
    depth = {device.devno: device.depth for device in devices}
    steps.sort(key=lambda step: _order(step, depth))
    if _holds_journal(machine, steps):
        steps.insert(0, Step(JOURNAL))
    return QuiescePlan(partition.path, tuple(steps), claims, tuple(refusals), _read_only(mounted), tuple(warnings))


def disturbance(plan: QuiescePlan, mounts: Sequence[Mount]) -> str:
    """Which file system that was read-only when ``plan`` was made is mounted for writing in ``mounts``, or ""."""
    now = [mount.mountpoint for mount in mounts if mount.devno in plan.read_only and not mount.holds_still]
    return "%s was read-only and was made writable by something else" % ", ".join(now) if now else ""


def _read_only(mounted: list[_FileSystem]) -> tuple[str, ...]:
    """Unmounted and mounted again it has the number of its device; the same number where it is not btrfs."""
    return tuple(sorted({no for fs in mounted if not fs.writable for no in (fs.mounts[0].devno, fs.backing.devno)}))


def _backing_devices(machine: Machine, partition: Partition) -> Iterator[_BackingDevice]:
    """The partition and everything stacked on it, each device once."""
    # A loop device over the node of the partition itself is not held still by the file system on the partition.
    over_nodes = {disk.devno for disk in machine.disks if (disk.backing_file or "").startswith("/dev/")}
    yield _BackingDevice(
        partition.path, partition.devno, partition.mounts, partition.swap, not partition.holders, 0, nested=False
    )
    seen = {partition.devno}

    def above(holders: tuple[Holder, ...], depth: int, nested: bool) -> Iterator[_BackingDevice]:
        for holder in holders:
            if holder.devno in seen:
                continue
            seen.add(holder.devno)
            inside = nested and holder.devno not in over_nodes
            leaf = not holder.holders and not inside
            yield _BackingDevice(holder.path, holder.devno, holder.mounts, holder.swap, leaf, depth, inside)
            yield from above(holder.holders, depth + 1, inside or bool(holder.mounts))

    yield from above(partition.holders, 1, bool(partition.mounts))


def _file_systems(machine: Machine, devices: list[_BackingDevice]) -> Iterator[_FileSystem]:
    """Every mounted file system of the stack once, with all of its mounts, parents before children."""
    seen: set[str] = set()
    for device in devices:
        for devno in dict.fromkeys(mount.devno for mount in device.mounts):
            if devno in seen:
                continue
            seen.add(devno)
            mounts = {mount.mount_id: mount for mount in device.mounts if mount.devno == devno}
            mounts.update((mount.mount_id, mount) for mount in machine.mounts if mount.devno == devno)
            yield _FileSystem(device, tuple(sorted(mounts.values(), key=order_of(machine, mounts))))


def _step(kind: str, machine: Machine, fs: _FileSystem) -> Step:
    return Step(
        kind=kind,
        device=fs.backing.path,
        backing_devno=fs.backing.devno,
        devno=fs.mounts[0].devno,
        fstype=fs.fstype,
        mounts=fs.mounts,
        obstacle=_obstacle(machine, fs),
        nested=fs.backing.nested,
    )


def _obstacle(machine: Machine, fs: _FileSystem) -> str:
    """Why the file system cannot be unmounted, or could not be mounted again as it was."""
    ours = {mount.mount_id for mount in fs.mounts}
    on_top = [mount.mountpoint for mount in machine.mounts if mount.parent_id in ours and mount.mount_id not in ours]
    if on_top:
        return "other file systems are mounted on it (%s)" % ", ".join(sorted(set(on_top)))
    shared = {Propagation.of(mount).shared for mount in fs.mounts}
    for index, mount in enumerate(fs.mounts):
        master = Propagation.of(mount).master
        if master and master not in shared:
            return "%s is a slave of a mount in another namespace" % mount.mountpoint
        if master and not any(contains(one, mount) and related(one, mount) for one in fs.mounts[:index]):
            return "%s is a slave of a mount of another directory" % mount.mountpoint
        if "idmapped" in mount.options.split(","):
            return "%s is an ID-mapped mount" % mount.mountpoint
    return ""


def _order(step: Step, depth: dict[str, int]) -> tuple[bool, bool, int, int]:
    """Unmount first, then what lives on others, then from the deepest mountpoint up; the root last."""
    holds_root = "/" in step.mountpoints
    levels = min((point.rstrip("/").count("/") for point in step.mountpoints), default=0)
    return (holds_root, step.kind == FREEZE, -depth[step.backing_devno], -levels)


def _holds_journal(machine: Machine, steps: list[Step]) -> bool:
    return is_stopped(steps, beneath(machine, JOURNAL_DIR))


def is_stopped(steps: Sequence[Step], devices: Collection[str]) -> bool:
    """Whether writing that ends on these device numbers (see ``places.beneath``) has to wait for the steps' end."""
    return any(step.devno in devices or step.backing_devno in devices for step in steps if step.kind != JOURNAL)


def _swap_refusals(
    machine: Machine, partition: Partition, devices: list[_BackingDevice], filesystems: list[_FileSystem]
) -> Iterator[Refusal]:
    for device in devices:
        if device.swap:
            yield Refusal(
                "source_swap",
                "%s is in use as swap, which never holds still." % _where(partition, device.path),
                "Run swapoff %s for the time of the copy, or name the partitions to copy without partition %d."
                % (device.path, partition.number),
            )
    ours = {devno for fs in filesystems for devno in (fs.mounts[0].devno, fs.backing.devno)}
    for path in machine.swap_files:
        if ours & beneath(machine, path):
            yield Refusal(
                "source_swap_file",
                "The swap file %s lies on %s: with it frozen, swapping could stop the machine."
                % (path, partition.path),
                "Run swapoff %s for the time of the copy." % path,
            )
    contents = {partition.path: partition.fstype, **{each.path: each.fstype for each in partition.all_holders()}}
    for path, fstype in contents.items():
        if fstype in HIBERNATION:
            yield Refusal(
                "source_hibernation",
                "%s holds the image of a hibernated system: a copy would wake up with file systems that have moved on."
                % _where(partition, path),
                "Start that system, or remove the image with mkswap %s." % path,
            )


def _spanning(machine: Machine, partition: Partition) -> Iterator[Refusal]:
    """A file system or volume that also lies elsewhere would be copied in part only, each part of another moment."""
    mounts = {mount.mount_id: mount for mount in partition.mounts}
    holders = {holder.devno: holder for holder in partition.all_holders()}
    whole = {one.devno for holder in partition.holders if holder.kind == "disk" for one in holder.tree()}
    for disk in machine.disks:
        ours = any(other.devno == partition.devno for other in disk.partitions)
        others: list[Disk | Partition] = [*disk.partitions] if ours else [disk, *disk.partitions]
        for other in others:
            above = {one.devno for holder in other.holders for one in holder.tree()}
            if partition.devno in (other.devno, *above) or other.devno in holders:
                continue  # the partition itself, or what has the same bytes
            shared = above - whole if ours else above
            what = [mounts[mount.mount_id].mountpoint for mount in other.mounts if mount.mount_id in mounts]
            what += [holder.path for devno, holder in holders.items() if devno in shared]
            if what:
                yield Refusal(
                    "source_spans_devices",
                    "%s lies on %s and on %s as well." % (", ".join(dict.fromkeys(what)), partition.path, other.path),
                    "A copy of one of them alone is of no use; keep the system on one partition, "
                    "or leave partition %d out." % partition.number,
                )


def _in_use(partition: Partition, fs: _FileSystem) -> Refusal:
    return Refusal(
        "source_in_use",
        "%s is mounted for writing at %s." % (_where(partition, fs.backing.path), ", ".join(fs.mountpoints)),
        "Unmount it, mount it read-only, or set the option quiesce to auto.",
    )


def _cannot_quiesce(fs: _FileSystem) -> Refusal:
    return Refusal(
        "source_cannot_quiesce",
        "%s (%s, mounted at %s) is kept by a program in user space: it can neither be frozen nor mounted as before."
        % (fs.backing.path, fs.fstype, ", ".join(fs.mountpoints)),
        "Unmount it and run again.",
    )


def _as_after_a_power_cut(fs: _FileSystem) -> str:
    return (
        "%s (%s, mounted at %s) lies in a file of the source and cannot be frozen: the copy of this file is as after a "
        "power cut." % (fs.backing.path, fs.fstype, ", ".join(fs.mountpoints))
    )


def _where(partition: Partition, path: str) -> str:
    return path if path == partition.path else "%s on %s" % (path, partition.path)
