# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Plans the copy of an image: from two paths and the machine to the pair, or to the refusals. Pure."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Iterator, Sequence

from ..discovery import identifiers
from ..discovery.model import Disk, Holder, Machine, Partition
from ..discovery.places import beneath, mount_of
from ..errors import Refusal
from ..options import ALL, ImageRequest
from ..quiesce.plan import QuiescePlan, steps_for
from . import digest_place, endpoint
from .endpoint import Endpoint
from .plan import Pair, Plan
from .refusals import in_use, rate_refusals, running_system

STABLE_NAMES = ("/dev/disk/", "/dev/mapper/")


def make(machine: Machine, source: Endpoint, target: Endpoint, request: ImageRequest) -> Plan:
    """The pair has number 0. Raises InvalidRequestError for a protected identifier that cannot be one."""
    source_disk, source_part = locate(machine, source)
    target_disk, target_part = locate(machine, target)
    if target.kind == endpoint.MISSING:
        target_part = replace(target_part, size=source.size)
    quiesce = quiesce_for(machine, source, source_part, request.quiesce)
    pair = Pair(0, source_part, target_part, quiesce)
    refusals = [
        *source_refusals(machine, source),
        *quiesce.refusals,
        *target_refusals(machine, target, target_disk, target_part, request.create),
        *_pair_refusals(machine, source, source_part, target, target_part),
        *_option_refusals(target, request.punch_zeros, request.keep),
        *protected_refusals(machine, target, request.protected),
        *_digest_refusals(machine, request.digest_dir, pair, target),
    ]
    if request.scope == ALL:
        refusals += rate_refusals([pair], request.rate_limit, request.quiesce_timeout)
    warnings = tuple(words for end in (source, target) for words in bare_name(end))
    return Plan(source_disk, target_disk, (pair,), tuple(refusals), (*warnings, *quiesce.warnings))


def locate(machine: Machine, end: Endpoint) -> tuple[Disk, Partition]:
    """The disk of an end for the report, and the end itself in a partition's shape with everything stacked on it."""
    plain = Disk(end.real.rpartition("/")[2], end.path, end.devno, end.size)
    shape = Partition(0, plain.name, end.real, end.devno, 0, end.size)
    if end.kind != endpoint.BLOCK:
        return plain, shape
    for disk in machine.disks:
        if disk.devno == end.devno:
            parts = tuple(
                Holder(p.name, p.path, p.devno, "partition", p.mounts, p.swap, p.holders) for p in disk.partitions
            )
            holders = (*disk.holders, *parts)
            whole = replace(shape, mounts=disk.mounts, swap=disk.swap, holders=holders, read_only=disk.read_only)
            return disk, whole
        for partition in disk.partitions:
            if partition.devno == end.devno:
                return disk, partition
    for holder in _all_holders(machine):
        if holder.devno == end.devno:
            return plain, replace(shape, mounts=holder.mounts, swap=holder.swap, holders=holder.holders)
    return plain, shape


def quiesce_for(machine: Machine, end: Endpoint, shape: Partition, mode: str) -> QuiescePlan:
    """How a source is quiesced. A file is not quiesced, but checked for changes afterwards."""
    if end.kind != endpoint.BLOCK:
        return QuiescePlan(end.path)
    return steps_for(_seen_from(machine, end, shape), shape, mode)


def _seen_from(machine: Machine, end: Endpoint, shape: Partition) -> Machine:
    """The machine to look for what else a source's file systems lie on: of a whole disk or a volume, the disks below
    are no other place."""
    if shape.number:
        return machine
    under = machine.disks_under(end.devno)
    return replace(machine, disks=tuple(disk for disk in machine.disks if disk.devno not in under))


def bare_name(end: Endpoint) -> Iterator[str]:
    """A warning for a name that the kernel gives to another device after the next restart."""
    if end.kind == endpoint.BLOCK and end.path == end.real and not end.path.startswith(STABLE_NAMES):
        yield (
            "%s is the kernel's own name, which may be another device's after the next restart. "
            "Use a link in /dev/disk/by-id, or /dev/mapper." % end.path
        )


def source_refusals(machine: Machine, source: Endpoint) -> Iterator[Refusal]:
    """Reasons that lie in what is to be read."""
    if source.kind == endpoint.MISSING:
        yield Refusal("source_missing", "There is no %s." % source.path, "Name a device or an image file.")
    elif source.kind == endpoint.OTHER:
        yield Refusal("source_kind", "%s is neither a block device nor a regular file." % source.path)
    elif not source.size:
        yield Refusal("source_empty", "%s is empty." % source.path)
    for loop in _attached(machine, source):
        yield Refusal(
            "source_attached",
            "The image %s is attached to %s, which may hold newer content in memory." % (source.path, loop.path),
            "Detach it, or name %s as the source." % loop.path,
        )


def target_refusals(
    machine: Machine, target: Endpoint, disk: Disk, shape: Partition, create: bool
) -> Iterator[Refusal]:
    """Reasons that lie in what is to be written."""
    if target.kind == endpoint.OTHER:
        yield Refusal("target_kind", "%s is neither a block device nor a regular file." % target.path)
    if target.kind in (endpoint.MISSING, endpoint.FILE) and target.real.startswith("/dev/"):
        if not target.real.startswith("/dev/shm/"):
            yield Refusal(
                "target_under_dev",
                "%s is no block device, and image files do not belong into /dev." % target.path,
                "Look for a typing error in the name, or plug the disk in.",
            )
    elif target.kind == endpoint.MISSING and not create:
        yield Refusal("target_missing", "There is no %s." % target.path, "Set create to true if it shall be made.")
    elif target.kind == endpoint.MISSING and not target.directory:
        yield Refusal("target_dir_missing", "The directory of %s does not exist." % target.path, "Make it first.")
    if target.kind == endpoint.BLOCK:
        yield from _device_refusals(machine, target, disk, shape)
    for loop in _attached(machine, target):
        yield Refusal(
            "target_attached", "The image %s is attached to %s." % (target.path, loop.path), "Detach it and run again."
        )


def _device_refusals(machine: Machine, target: Endpoint, disk: Disk, shape: Partition) -> Iterator[Refusal]:
    if shape.read_only or disk.read_only:
        yield Refusal("target_read_only", "%s is read-only." % target.path)
    if disk.devno != target.devno or disk not in machine.disks:
        yield from in_use("Target", shape.path, shape.mounts, shape.swap, shape)
        return
    yield from running_system(machine, disk)
    yield from in_use("Target disk", disk.path, disk.mounts, disk.swap, disk)
    for partition in disk.partitions:
        yield from in_use("Target partition", partition.path, partition.mounts, partition.swap, partition)


def _pair_refusals(
    machine: Machine, source: Endpoint, ours: Partition, target: Endpoint, theirs: Partition
) -> Iterator[Refusal]:
    """Reasons that lie in the two together."""
    same_file = target.kind == endpoint.FILE and (source.device, source.inode) == (target.device, target.inode)
    if same_file or (target.devno and source.devno == target.devno):
        yield Refusal("same_image", "Source and target are the same, %s." % source.real, "Name two different ones.")
        return
    above = {holder.devno for holder in ours.all_holders()} | {mount.devno for mount in ours.all_mounts()}
    below = {holder.devno for holder in theirs.all_holders()}
    written = frozenset((target.devno,)) if target.kind == endpoint.BLOCK else beneath(machine, target.real)
    if written & (above | {source.devno}) or source.devno in below:
        yield Refusal(
            "target_on_source",
            "%s and %s lie on each other." % (source.path, target.path),
            "Keep the copy on another file system or disk than what is copied.",
        )
    if target.kind in (endpoint.BLOCK, endpoint.FILE) and source.size != target.size:
        yield Refusal(
            "size_differs",
            "%s has %d bytes, %s has %d bytes." % (source.path, source.size, target.path, target.size),
            "Both must be equal to the byte; remove the image to have it made anew with create."
            if target.kind == endpoint.FILE
            else "Use a target of equal size.",
        )


def _option_refusals(target: Endpoint, punch_zeros: bool, keep: int) -> Iterator[Refusal]:
    if target.kind == endpoint.BLOCK:
        for option, wanted in (("punch_zeros", punch_zeros), ("keep", keep)):
            if wanted:
                yield Refusal("needs_image_file", "%s is for image files, and %s is a device." % (option, target.path))


def _digest_refusals(machine: Machine, directory: str, pair: Pair, target: Endpoint) -> Iterator[Refusal]:
    """Reasons against keeping a digest of ``target`` in ``directory``, which may be empty for none."""
    if not directory:
        return
    yield from digest_place.refusals(machine, os.path.realpath(directory), pair.source, pair.quiesce)
    mount = mount_of(machine.mounts, target.real)
    if mount and "lazytime" in mount.super_options.split(","):
        yield Refusal(
            "digest_lazytime",
            "digest_dir needs the times of %s, and %s is mounted with lazytime: a loss of power takes them back."
            % (target.path, mount.mountpoint),
            "Mount it with nolazytime, or leave digest_dir out.",
        )
    if target.kind == endpoint.BLOCK:
        yield Refusal(
            "digest_needs_image_file",
            "digest_dir is for image files, and %s is a device, which does not report that something else wrote to it."
            % target.path,
            "Leave digest_dir out: the device is then compared.",
        )


def protected_refusals(machine: Machine, target: Endpoint, protected: Sequence[object]) -> Iterator[Refusal]:
    """A target on a disk that is never to be written: the device itself, or the disk that an image file lies on."""
    written = (target.devno,) if target.kind == endpoint.BLOCK else beneath(machine, target.real)
    under = {disk for devno in written for disk in (devno, *machine.disks_under(devno))}
    for identifier in protected:
        for disk in identifiers.matches(machine, identifiers.parse_identifier(identifier, "protected")):
            if disk.devno in under:
                yield Refusal(
                    "target_protected",
                    "%s lies on %s, which is protected." % (target.path, disk.describe()),
                    "Name another target, or take the disk off that list.",
                )


def _attached(machine: Machine, end: Endpoint) -> Iterator[Disk]:
    if end.kind == endpoint.FILE:
        for disk in machine.disks:
            if disk.backing == (end.device, end.inode) if disk.backing else disk.backing_file == end.real:
                yield disk


def _all_holders(machine: Machine) -> Iterator[Holder]:
    for disk in machine.disks:
        bases = [*disk.holders, *(holder for partition in disk.partitions for holder in partition.holders)]
        for holder in bases:
            yield from holder.tree()
