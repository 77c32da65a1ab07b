# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Decides after each pass of a live copy whether to make another pass, to end, or to give up. Pure."""

from __future__ import annotations

from ..errors import LiveDoubtError

SMALL = 8 * 1024 * 1024  # bytes that are copied while frozen without a thought
MOST = 4  # passes while the source is in use
SHRINKS = 0.7  # a pass is worth while if it leaves at most this part of what the one before left
LARGE = 4  # giving up: a 1/LARGE of the partition would have to be copied while frozen


class Convergence:
    """What every iteration found, in bytes, for a partition of ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self.dirty: list[int] = []
        self._size = size

    def is_last(self, dirty: int) -> bool:
        """Whether ``dirty`` bytes are to be copied now, while frozen, rather than while the source is in use.

        Raises LiveDoubtError if the writes do not let up, so that little is gained by all this.
        """
        before = self.dirty[-1] if self.dirty else None
        self.dirty.append(dirty)
        if dirty <= SMALL:
            return True
        if len(self.dirty) <= MOST and (before is None or dirty <= before * SHRINKS):
            return False
        if dirty > self._size // LARGE:
            raise LiveDoubtError(
                "not_converging",
                "the source is written to faster than it can be copied (after %d passes %d bytes were left)"
                % (len(self.dirty) - 1, dirty),
            )
        return True
