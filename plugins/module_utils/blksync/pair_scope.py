# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which part of a pair is copied: all of it, or what its file system uses."""

from __future__ import annotations

from types import TracebackType

from .engines.base import Range, whole
from .plan import Pair
from .report import PairReport
from .request import ALL, USED, CopyRequest
from .used_blocks import UsedMap


class PairScope:
    """A context manager, entered before anything is frozen. ``block`` is what the ranges are multiples of, in bytes."""

    def __init__(self, request: CopyRequest, pair: Pair, block: int) -> None:
        self._pair = pair
        self._block = block
        self._map = UsedMap(pair.source) if request.scope == USED else None

    def __enter__(self) -> PairScope:
        if self._map:
            self._map.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._map:
            self._map.__exit__(kind, error, trace)

    def ranges(self, entry: PairReport) -> tuple[Range, ...]:
        """What is to be copied, as of this moment: the source holds still. ``entry`` is told what is skipped."""
        if self._map is None:
            return whole(self._pair.size)
        used = self._map.read(self._block)
        entry.scope = ALL if used.reason else USED
        entry.scope_reason, entry.bytes_skipped = used.reason, used.skipped
        return used.ranges
