# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Monitors a copy: an engine reports its progress to a monitor, which may end the copy."""

from __future__ import annotations


class Monitor:
    """Gets the progress of a copy, and may end the copy. This one does nothing with it.

    Engines call ``advanced`` after every few megabytes. It may raise CancelledError (a signal, a lost
    connection) or QuiesceError (the guardian is gone, the time is over): the engine stops and lets it pass.
    """

    def advanced(self, compared: int, changed: int) -> None:
        """``compared`` bytes of the pair are done so far, ``changed`` of them differed."""

    def source_done(self) -> None:
        """The source has been read for the last time; what is left is writing and flushing the target."""
