# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a condition, with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], limit: float, every: float = 0.1) -> T:
    """Call `probe` until it returns something true, and return that; raise TimeoutError after `limit` seconds."""
    deadline = time.monotonic() + limit
    pause = threading.Event()  # never set: its wait is the pause between two looks
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit:.0f} s: {what}")
        pause.wait(every)
    return found
