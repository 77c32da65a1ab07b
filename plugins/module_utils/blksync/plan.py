# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""From what was asked and what is there to the pairs that will be synced. Pure: the same input, the same plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from . import coverage, partition_types, safety, selection
from .errors import DiskAmbiguousError, DiskNotFoundError, RefusedError
from .live import conditions
from .machine import Disk, Machine, Partition
from .quiesce.plan import QuiescePlan, steps_for
from .request import EVERY, LIVE, CopyRequest, SyncRequest
from .safety import Refusal


@dataclass(frozen=True)
class Pair:
    """One source partition, the target partition of the same number, and how the source is made to hold still."""

    number: int
    source: Partition
    target: Partition
    quiesce: QuiescePlan

    @property
    def size(self) -> int:
        """Bytes of either side: they are equal, or there is no pair."""
        return self.source.size


@dataclass(frozen=True)
class Plan:
    """What will be done, unless ``refusals`` holds a reason not to. ``source`` or ``target`` is None if not found."""

    source: Disk | None
    target: Disk | None
    pairs: tuple[Pair, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def source_disk(self) -> Disk:
        """The source of a plan that is carried out. Raises RefusedError where there is none."""
        return self._found(self.source)

    @property
    def target_disk(self) -> Disk:
        """The target of a plan that is carried out. Raises RefusedError where there is none."""
        return self._found(self.target)

    def _found(self, disk: Disk | None) -> Disk:
        if disk is None:
            raise RefusedError(self.refusals)
        return disk


def make(machine: Machine, request: SyncRequest) -> Plan:
    """Select both disks, pair their partitions and collect every reason to refuse.

    Raises InvalidRequestError for an identifier that cannot be one.
    """
    warnings: list[str] = []
    refusals: list[Refusal] = []
    source = _select("source", machine, request.source, refusals, warnings)
    target = _select("target", machine, request.target, refusals, warnings)
    protected = _protected(machine, request.protected)
    numbers = coverage.numbers(source, request.partitions)
    pairs: list[Pair] = []
    if source and target:
        refusals += safety.disk_refusals(machine, source, target, protected)
        for role, disk in (("Source", source), ("Target", target)):
            # The whole of a source includes what only its table has.
            wanted = (*numbers, *source.stale) if request.partitions == EVERY else numbers
            refusals += safety.stale_table_refusals(role, disk, wanted)
            refusals += safety.overlap_refusals(role, disk, numbers)
        refusals += safety.empty_disk_refusals(source, target)
        for number in numbers:
            refusals += safety.pair_refusals(source, target, number)
            ours, theirs = source.partition(number), target.partition(number)
            if ours and theirs:
                quiesce = steps_for(machine, ours, request.quiesce)
                refusals += quiesce.refusals
                refusals += live_refusals(ours, quiesce, request)
                if request.partitions == EVERY:
                    refusals += safety.type_refusals(target, ours, theirs)
                else:
                    warnings += _type_warnings(target, ours, theirs)
                pairs.append(Pair(number, ours, theirs, quiesce))
        refusals += coverage.system_refusals(machine, source, numbers)
    if target and request.eject:
        refusals += safety.eject_refusals(target, numbers)
    return Plan(source, target, tuple(pairs), tuple(refusals), tuple(warnings))


def _type_warnings(target: Disk, ours: Partition, theirs: Partition) -> Iterator[str]:
    found = partition_types.difference(target, ours, theirs)
    if found:
        yield "%s %s" % (found.message, found.hint)


def live_refusals(partition: Partition, quiesce: QuiescePlan, request: CopyRequest) -> Iterator[Refusal]:
    """Why a source in use cannot be copied live where the user wants nothing else."""
    if request.quiesce == LIVE and not request.quiesce_fallback and conditions.applies(quiesce):
        reason = conditions.obstacle(partition, quiesce)
        if reason:
            yield Refusal(
                "live_impossible",
                "%s cannot be copied while it is in use: %s." % (partition.path, reason),
                "Set quiesce_fallback to true to have it frozen for the whole copy instead.",
            )


def _select(
    role: str, machine: Machine, identifier: object, refusals: list[Refusal], warnings: list[str]
) -> Disk | None:
    """The disk of that identifier, or None and one more refusal."""
    try:
        parsed = selection.parse_identifier(identifier, role)
        warnings += parsed.warnings
        return selection.select(machine, parsed)
    except (DiskNotFoundError, DiskAmbiguousError) as error:
        refusals.append(Refusal("%s_%s" % (role, error.kind), "%s: %s" % (role, error.message), error.hint))
        return None


def _protected(machine: Machine, identifiers: tuple[object, ...]) -> tuple[Disk, ...]:
    """Every disk that a protected identifier could mean: an absent one protects nothing, an ambiguous one all."""
    found: list[Disk] = []
    for identifier in identifiers:
        found += selection.matches(machine, selection.parse_identifier(identifier, "protected"))
    return tuple(found)
