# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What an engine reports to during one pass over a pair, and what ends the pass early."""

from __future__ import annotations

from typing import Callable

from .cancellation import Cancellation
from .engines.base import Monitor
from .progress import Progress
from .report import PairReport

COPY, AGAIN, VERIFY = "copy", "again", "verify"


def nothing() -> None:
    """What is called where nobody wants to be called."""


class PassMonitor(Monitor):
    """Keeps ``entry`` up to date and shows the progress. Ends a pass that was cancelled, or where ``check`` raises.

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
