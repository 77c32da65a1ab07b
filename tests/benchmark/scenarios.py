# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the target differs from the source before a run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.disks import MIB
from tests.support.pairs import LoopPair

BLOCK = 4096
RUN = 64  # blocks


def nothing(_total: int, _rng: random.Random) -> list[range]:
    """No block."""
    return []


def one_percent(total: int, rng: random.Random) -> list[range]:
    """Blocks here and there."""
    return [range(block, block + 1) for block in sorted(rng.sample(range(total), total // 100))]


def ten_percent(total: int, rng: random.Random) -> list[range]:
    """Runs of 256 KiB."""
    runs = total // RUN
    return [range(number * RUN, (number + 1) * RUN) for number in sorted(rng.sample(range(runs), runs // 10))]


def everything(total: int, _rng: random.Random) -> list[range]:
    """Each and every block."""
    return [range(total)]


@dataclass(frozen=True)
class Scenario:
    """A name for the table, and which of ``total`` blocks differ."""

    name: str
    changes: Callable[[int, random.Random], list[range]]

    def prepare(self, pair: LoopPair, rng: random.Random) -> None:
        """Change the blocks on the target, which was equal to the source."""
        noise = rng.randbytes(MIB)
        with open(pair.target.file, "r+b") as file:
            for blocks in self.changes(pair.target.size // BLOCK, rng):
                file.seek(blocks.start * BLOCK)
                left = len(blocks) * BLOCK
                while left:
                    left -= file.write(noise[:left])


SCENARIOS = (
    Scenario("nothing", nothing),
    Scenario("1 % of the blocks, at random", one_percent),
    Scenario("10 %, in runs of 256 KiB", ten_percent),
    Scenario("everything", everything),
)
