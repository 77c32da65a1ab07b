# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What blocksync-fast 1.0.7 leaves unwritten, as a model of its loop: tests compare the engine's view with it."""

from __future__ import annotations


def lost_bytes(size: int, block: int, buffer: int, changed: set[int]) -> range:
    """The bytes that the program counts and does not write, where the blocks ``changed`` differ.

    It remembers a run of changed blocks, writes it one step after the run's end or where the buffer ends, and after
    the last step takes for granted that the run reaches to the end of the pair.
    """
    run = equal = 0  # bytes: of the run that is remembered, of the equal block after it
    for number in range(-(-size // block)):
        if equal or number % (buffer // block) == 0:
            run = 0
        length = min(block, size - number * block)
        equal = 0 if number in changed else length
        run += length - equal
    end = size - equal
    return range(end - run, min(end, size - run)) if run else range(0)
