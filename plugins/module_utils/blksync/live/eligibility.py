# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Decides before a copy whether a source can be copied while it is in use. Pure."""

from __future__ import annotations

from typing import Iterator

from ..discovery.model import Partition
from ..quiesce.plan import QuiescePlan
from ..quiesce.step import FREEZE, UNMOUNT

TRANSPARENT = ("crypt", "lvm", "loop", "partition")  # what passes every write on to the partition itself


def applies(plan: QuiescePlan) -> bool:
    """Whether anything would be frozen: otherwise there is nothing to gain."""
    return any(step.kind == FREEZE for step in plan.steps)


def obstacle(partition: Partition, plan: QuiescePlan) -> str:
    """Why it is not possible, as a sentence without its full stop; empty where it may be."""
    return next(_obstacles(partition, plan), "")


def _obstacles(partition: Partition, plan: QuiescePlan) -> Iterator[str]:
    for step in plan.steps:
        if step.kind == UNMOUNT:
            yield "%s (%s) cannot be frozen, only unmounted" % (", ".join(step.mountpoints), step.fstype)
    for holder in partition.all_holders():
        if holder.kind not in TRANSPARENT:
            yield "%s (%s) may write to %s unseen" % (holder.path, holder.kind, partition.path)
    for mount in partition.all_mounts():
        if any(option.split("=")[0] == "dax" for option in mount.super_options.split(",")):
            yield "%s is mounted with dax, whose writes are not seen" % mount.mountpoint
