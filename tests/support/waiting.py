# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for conditions: as long as a busy machine may need, so that a test says the same at any load."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds after which what has not happened never will. No test passes or fails by being quicker or slower than that
on a machine that is only busy; where nothing is wrong, the condition holds long before."""

POLL = 0.01


def wait_for(
    condition: Callable[[], bool], seconds: float = PATIENCE, state: Callable[[], object] = lambda: ""
) -> None:
    """Wait until the condition holds; AssertionError with the state after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        # The condition is asked once more: this process may not have run for a while.
        assert time.monotonic() < deadline or condition(), "not within %s s: %s" % (seconds, state())
        time.sleep(POLL)
