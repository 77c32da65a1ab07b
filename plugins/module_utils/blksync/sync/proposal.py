# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a run that asks shows to the user before anything is locked or written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ..errors import Refusal
from . import coverage
from .coverage import LeftOut
from .plan import Plan


@dataclass(frozen=True)
class Proposal:
    """A plan without refusals. ``foreign``: what somebody else changed on the target, which a yes discards.

    ``warnings`` are sentences for the user.
    """

    plan: Plan
    foreign: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def at_most(self) -> int:
        """The bytes that the run can write at most: all of its pairs."""
        return sum(pair.size for pair in self.plan.pairs)

    @property
    def left_out(self) -> list[LeftOut]:
        """The partitions of the source that are no pair."""
        return coverage.left_out(self.plan.source, [pair.number for pair in self.plan.pairs])


Agree = Callable[[Proposal], bool]
