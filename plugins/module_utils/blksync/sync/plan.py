# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of a sync: its pairs and its refusals. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from ..discovery.model import Disk, Partition
from ..errors import Refusal, RefusedError
from ..quiesce.plan import QuiescePlan
from . import partition_types


@dataclass(frozen=True)
class Pair:
    """One source partition, the target partition of the same number, and how the source is quiesced."""

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
        """The source of a plan that is carried out. Raises RefusedError if there is none."""
        return self._found(self.source)

    @property
    def target_disk(self) -> Disk:
        """The target of a plan that is carried out. Raises RefusedError if there is none."""
        return self._found(self.target)

    def _found(self, disk: Disk | None) -> Disk:
        if disk is None:
            raise RefusedError(self.refusals)
        return disk


def _type_warnings(target: Disk, ours: Partition, theirs: Partition) -> Iterator[str]:
    found = partition_types.difference(target, ours, theirs)
    if found:
        yield "%s %s" % (found.message, found.hint)
