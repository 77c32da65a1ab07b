# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Passes the progress of a sync on, and writes it to the run's progress file."""

from __future__ import annotations

import contextlib
import time
from typing import Callable, Iterator, Sequence

from ..records import disk_record
from ..records.progress import COPYING, VERIFYING, ProgressFile, State
from .monitor import Progress
from .plan import Pair, Plan


@contextlib.contextmanager
def filed(shown: Progress, plan: Plan) -> Iterator[Progress]:
    """The ``shown`` progress of a sync, also written to a file until the end of the context."""
    key = disk_record.key_of(plan.target_disk)
    if key is None:
        yield shown
        return
    file = ProgressFile(key)
    try:
        yield FiledProgress(shown, plan.pairs, file)
    finally:
        file.remove()


class FiledProgress(Progress):
    """Wraps the ``shown`` progress of a sync of ``pairs``."""

    def __init__(
        self, shown: Progress, pairs: Sequence[Pair], file: ProgressFile, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._shown = shown
        self._file = file
        self._now = now
        self._begun = now()
        self._size = sum(pair.size for pair in pairs)
        self._done = dict.fromkeys((pair.number for pair in pairs), 0)

    def waiting(self, sentence: str) -> bool:
        """See Progress."""
        return self._shown.waiting(sentence)

    def pair_started(self, pair: Pair, engine: str) -> None:
        """See Progress."""
        self._write(COPYING, pair)
        self._shown.pair_started(pair, engine)

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        """See Progress."""
        self._done[pair.number] = compared
        self._write(COPYING, pair)
        self._shown.advanced(pair, compared, changed)

    def verifying(self, pair: Pair, read: int) -> None:
        """See Progress."""
        self._write(VERIFYING, pair)
        self._shown.verifying(pair, read)

    def pair_finished(self, pair: Pair, blocks_changed: int, written: int) -> None:
        """See Progress."""
        self._shown.pair_finished(pair, blocks_changed, written)

    def _write(self, phase: str, pair: Pair) -> None:
        done = sum(self._done.values())
        self._file.write(State(phase, pair.number, done, self._size, self._now() - self._begun))
