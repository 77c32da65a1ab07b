# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which of a job's backup disks are plugged in.

A job runs unattended, and an identifier in a partition table can be copied. On a desktop every user can make a loop
device of a file (udisks2, org.freedesktop.udisks2.loop-setup), so a disk that is made of a file is nobody's main disk
and nobody's backup disk, unless the job's file says ``loop_devices``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Sequence

from ..discovery import identifiers
from ..discovery.model import Disk, Machine
from .config import Job
from .values import JobTarget


@dataclass(frozen=True)
class Presence:
    """The targets of a job that are there and those that are not, in the job's order.

    ``strangers`` are sentences on disks that have a target's identifier and are not meant.
    """

    present: tuple[JobTarget, ...]
    absent: tuple[JobTarget, ...]
    strangers: tuple[str, ...] = ()


def look(machine: Machine, job: Job) -> Presence:
    """Sort the targets. One that two entries name is there once; an ambiguous one is there, for sync to refuse."""
    present: list[JobTarget] = []
    absent: list[JobTarget] = []
    strangers: list[str] = []
    seen: set[str] = set()
    allowed = _allowed(machine, job)
    for target in job.targets:
        found = _meant(allowed, target)
        if not found:
            absent.append(target)
            strangers += _strangers(machine, allowed, target)
        elif not {disk.devno for disk in found} <= seen:
            present.append(target)
            seen.update(disk.devno for disk in found)
    return Presence(tuple(present), tuple(absent), tuple(strangers))


def without_strangers(observe: Callable[[], Machine], job: Job, target: JobTarget) -> Callable[[], Machine]:
    """Observe as before, but leave out the disks that have the target's identifier without its serial number, and
    those that are made of files unless the job may use them."""

    def observed() -> Machine:
        machine = _allowed(observe(), job)
        others = [disk for disk in identifiers.matches(machine, target.identifier) if not _has_serial(disk, target)]
        return replace(machine, disks=tuple(disk for disk in machine.disks if disk not in others))

    return observed


def _allowed(machine: Machine, job: Job) -> Machine:
    """The machine with the disks that this job may use.

    What lies on a loop device counts as one: arrays on it are assembled by themselves (mdadm(8), --incremental).
    """
    if job.loop_devices:
        return machine
    loops = {disk.devno for disk in machine.disks if disk.backing_file is not None}

    def is_hardware(disk: Disk) -> bool:
        return loops.isdisjoint((disk.devno, *machine.disks_under(disk.devno)))

    return replace(machine, disks=tuple(filter(is_hardware, machine.disks)))


def _meant(machine: Machine, target: JobTarget) -> list[Disk]:
    return [disk for disk in identifiers.matches(machine, target.identifier) if _has_serial(disk, target)]


def _has_serial(disk: Disk, target: JobTarget) -> bool:
    return target.serial in (None, disk.serial)


def _strangers(machine: Machine, allowed: Machine, target: JobTarget) -> Sequence[str]:
    """Why disks with the target's identifier are not it."""
    return [
        "%s is not the disk with serial %s." % (disk.describe(), target.serial)
        if disk in allowed.disks
        else "%s is made of a file, which any user may do: it counts only in a job with loop_devices." % disk.describe()
        for disk in identifiers.matches(machine, target.identifier)
    ]
