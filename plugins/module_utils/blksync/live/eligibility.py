# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Decides before a copy whether a source can be copied while it is in use. Pure."""

from __future__ import annotations

from typing import Iterator

from ..discovery.model import Partition
from ..errors import Reason
from ..quiesce.plan import QuiescePlan
from ..quiesce.step import FREEZE, UNMOUNT

TRANSPARENT = ("crypt", "lvm", "loop", "partition")  # what passes every write on to the partition itself


def applies(plan: QuiescePlan) -> bool:
    """Whether anything would be frozen: otherwise there is nothing to gain."""
    return any(step.kind == FREEZE for step in plan.steps)


def obstacle(partition: Partition, plan: QuiescePlan) -> Reason | None:
    """Why it is not possible; None if nothing speaks against it yet."""
    return next(_obstacles(partition, plan), None)


def _obstacles(partition: Partition, plan: QuiescePlan) -> Iterator[Reason]:
    for step in plan.steps:
        if step.kind == UNMOUNT:
            places = ", ".join(step.mountpoints)
            yield Reason("not_freezable", "%s (%s) cannot be frozen, only unmounted" % (places, step.fstype))
    for holder in partition.all_holders():
        if holder.kind not in TRANSPARENT:
            yield Reason(
                "untraceable_holder", "%s (%s) may write to %s unseen" % (holder.path, holder.kind, partition.path)
            )
    for mount in partition.all_mounts():
        if any(option.split("=")[0] == "dax" for option in mount.super_options.split(",")):
            yield Reason("dax", "%s is mounted with dax, whose writes are not seen" % mount.mountpoint)
