# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Plans a sync of two disks: from the request to the pairs, or to the refusals. Pure."""

from __future__ import annotations

from typing import Iterator

from ..discovery.identifiers import matches, parse_identifier, select
from ..discovery.model import Disk, Machine, Partition
from ..errors import DiskAmbiguousError, DiskNotFoundError, Refusal
from ..live import eligibility
from ..options import ALL, SyncRequest
from ..options.partitions import EVERY
from ..quiesce.plan import QuiescePlan, steps_for
from . import coverage
from .plan import Pair, Plan, _type_warnings
from .refusals import (
    disk_refusals,
    empty_disk_refusals,
    overlap_refusals,
    pair_refusals,
    power_off_refusals,
    rate_refusals,
    stale_table_refusals,
    type_refusals,
)


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
        refusals += disk_refusals(machine, source, target, protected)
        for role, disk in (("Source", source), ("Target", target)):
            # The whole of a source includes what only its table has.
            wanted = (*numbers, *source.stale) if request.partitions == EVERY else numbers
            refusals += stale_table_refusals(role, disk, wanted)
            refusals += overlap_refusals(role, disk, numbers)
        refusals += empty_disk_refusals(source, target)
        for number in numbers:
            refusals += pair_refusals(source, target, number)
            ours, theirs = source.partition(number), target.partition(number)
            if ours and theirs:
                quiesce = steps_for(machine, ours, request.quiesce)
                refusals += quiesce.refusals
                warnings += quiesce.warnings
                refusals += live_refusals(ours, quiesce, request)
                if request.partitions == EVERY:
                    refusals += type_refusals(target, ours, theirs)
                else:
                    warnings += _type_warnings(target, ours, theirs)
                pairs.append(Pair(number, ours, theirs, quiesce))
        refusals += coverage.system_refusals(machine, source, numbers)
        if not request.live and request.scope == ALL:
            refusals += rate_refusals(pairs, request.rate_limit, request.quiesce_timeout)
    if target and request.power_off:
        refusals += power_off_refusals(target, numbers)
    return Plan(source, target, tuple(pairs), tuple(refusals), tuple(warnings))


def live_refusals(partition: Partition, quiesce: QuiescePlan, request: SyncRequest) -> Iterator[Refusal]:
    """Why a source in use cannot be copied live where the user wants nothing else."""
    if request.live_only and eligibility.applies(quiesce):
        reason = eligibility.obstacle(partition, quiesce)
        if reason:
            yield Refusal(
                "live_impossible",
                "%s cannot be copied while it is in use: %s." % (partition.path, reason.message),
                "Set the option quiesce_fallback to true to have it frozen for the whole copy instead.",
            )


def _select(
    role: str, machine: Machine, identifier: object, refusals: list[Refusal], warnings: list[str]
) -> Disk | None:
    """The disk of that identifier, or None and one more refusal."""
    try:
        parsed = parse_identifier(identifier, role)
        warnings += parsed.warnings
        return select(machine, parsed)
    except (DiskNotFoundError, DiskAmbiguousError) as error:
        refusals.append(Refusal("%s_%s" % (role, error.kind), "%s: %s" % (role, error.start), error.hint, error.items))
        return None


def _protected(machine: Machine, identifiers: tuple[object, ...]) -> tuple[Disk, ...]:
    """Every disk that a protected identifier could mean: an absent one protects nothing, an ambiguous one all."""
    found: list[Disk] = []
    for identifier in identifiers:
        found += matches(machine, parse_identifier(identifier, "protected"))
    return tuple(found)
