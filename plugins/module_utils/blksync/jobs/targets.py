# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the backup disks of a job that are plugged in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable

from ..discovery import identifiers
from ..discovery.model import Disk, Machine
from .values import JobTarget


@dataclass(frozen=True)
class Presence:
    """The targets of a job that are there and those that are not, in the job's order.

    ``strangers`` are sentences on disks that have a target's identifier but another serial number.
    """

    present: tuple[JobTarget, ...]
    absent: tuple[JobTarget, ...]
    strangers: tuple[str, ...] = ()


def look(machine: Machine, targets: tuple[JobTarget, ...]) -> Presence:
    """Sort the targets. One that two entries name is there once; an ambiguous one is there, for sync to refuse."""
    present: list[JobTarget] = []
    absent: list[JobTarget] = []
    strangers: list[str] = []
    seen: set[str] = set()
    for target in targets:
        found, others = _matches(machine, target)
        if not found:
            absent.append(target)
            strangers += ["%s is not the disk with serial %s." % (disk.describe(), target.serial) for disk in others]
        elif not {disk.devno for disk in found} <= seen:
            present.append(target)
            seen.update(disk.devno for disk in found)
    return Presence(tuple(present), tuple(absent), tuple(strangers))


def without_strangers(observe: Callable[[], Machine], target: JobTarget) -> Callable[[], Machine]:
    """Observe as before, but leave out the disks that have the target's identifier without its serial number."""

    def observed() -> Machine:
        machine = observe()
        strangers = _matches(machine, target)[1]
        return replace(machine, disks=tuple(disk for disk in machine.disks if disk not in strangers))

    return observed


def _matches(machine: Machine, target: JobTarget) -> tuple[list[Disk], list[Disk]]:
    """The disks that have the identifier: those that the target means, and those with another serial number."""
    found = identifiers.matches(machine, target.identifier)
    meant = [disk for disk in found if target.serial in (None, disk.serial)]
    return meant, [disk for disk in found if disk not in meant]
