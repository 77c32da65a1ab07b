# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Who watches an engine at work on one pair: tells how far it is, and ends it where it is no use to go on."""

from __future__ import annotations

from typing import Callable

from .cancellation import Cancellation
from .engines.base import Monitor
from .progress import Progress
from .report import PairReport


class CopyWatch(Monitor):
    """Ends a copy that was cancelled, or where ``check`` raises. ``done`` is called when the source has been read."""

    def __init__(
        self,
        entry: PairReport,
        progress: Progress,
        cancellation: Cancellation,
        check: Callable[[], None] = lambda: None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.entry = entry
        self.progress = progress
        self.cancellation = cancellation
        self.check = check
        self.done = done
        self.written = entry.bytes_written  # by earlier passes

    def advanced(self, compared: int, changed: int) -> None:
        """See Monitor."""
        self.entry.bytes_written = self.written + changed  # told of a copy that ends here, too
        self.cancellation.check()
        self.check()
        self.show(compared)

    def source_done(self) -> None:
        """See Monitor."""
        self.done()

    def show(self, compared: int) -> None:
        """Tell how far this pass over the whole pair is."""
        self.entry.bytes_compared = compared
        self.progress.advanced(self.entry.pair, compared + self.entry.bytes_skipped, self.entry.bytes_written)


class AgainWatch(CopyWatch):
    """Watches a pass over what was written meanwhile: the pair has been compared already."""

    def show(self, compared: int) -> None:
        """See CopyWatch."""
        reached = self.entry.bytes_compared + self.entry.bytes_skipped
        self.progress.advanced(self.entry.pair, reached, self.entry.bytes_written)


class VerifyWatch(Monitor):
    """Passes on how much of the target was read back; the source is in use again by then."""

    def __init__(self, entry: PairReport, progress: Progress, cancellation: Cancellation) -> None:
        self.entry = entry
        self.progress = progress
        self.cancellation = cancellation

    def advanced(self, compared: int, changed: int) -> None:
        """See Monitor."""
        self.cancellation.check()
        self.progress.verifying(self.entry.pair, compared)
