# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Watches the passes of a sync: reports progress, and ends an engine if the copy can no longer succeed."""

from __future__ import annotations

from typing import Callable

from ..engines.monitor import Monitor
from ..system.signals import Cancellation
from .plan import Pair
from .result import PairReport

COPY, AGAIN, VERIFY = "copy", "again", "verify"


def nothing() -> None:
    """What is called where nobody wants to be called."""


class PassMonitor(Monitor):
    """Keeps ``entry`` up to date and shows the progress. Ends a pass that was cancelled, or if ``check`` raises.

    ``phase`` is COPY for the first pass over a pair, AGAIN for one over a part of it, VERIFY for reading back.
    ``done`` is called when the source has been read.
    """

    def __init__(
        self,
        entry: PairReport,
        progress: Progress,
        cancellation: Cancellation,
        phase: str = COPY,
        check: Callable[[], None] = nothing,
        done: Callable[[], None] = nothing,
    ) -> None:
        self._entry = entry
        self._progress = progress
        self._cancellation = cancellation
        self._phase = phase
        self._check = check
        self._done = done
        self._written = entry.bytes_written  # by earlier passes

    def advanced(self, compared: int, changed: int) -> None:
        """See Monitor."""
        entry = self._entry
        if self._phase == VERIFY:
            self._cancellation.check()
            self._progress.verifying(entry.pair, compared)
            return
        entry.bytes_written = self._written + changed  # known of a pass that ends here, too
        self._cancellation.check()
        self._check()
        if self._phase == COPY:
            entry.bytes_compared = compared
        self._progress.advanced(entry.pair, entry.bytes_compared + entry.bytes_skipped, entry.bytes_written)

    def source_done(self) -> None:
        """See Monitor."""
        self._done()


class Progress:
    """Gets every step of a sync. All numbers are bytes. Nothing here may block: the source may be frozen."""

    def waiting(self, sentence: str) -> bool:
        """Another run has a disk, as ``sentence`` says, and is waited for. Returns whether somebody was shown that."""
        return False

    def pair_started(self, pair: Pair, engine: str) -> None:
        """The copy (or in check mode the comparison) of ``pair`` begins."""

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        """``compared`` bytes of the pair are done, ``changed`` of them differed."""

    def verifying(self, pair: Pair, read: int) -> None:
        """``read`` bytes of the target have been read back to verify what was written."""

    def pair_finished(self, pair: Pair, blocks_changed: int, written: int) -> None:
        """The pair is equal and verified; ``written`` bytes went (in check mode: would go) to the target."""
