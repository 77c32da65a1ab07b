# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Limits how many bytes a second are read, and how many are written."""

from __future__ import annotations

import time
from typing import Callable

POLL = 0.1  # seconds: a wait is interrupted so often to ask whether the copy shall end


class Bucket:
    """Decides when bytes may pass, at most ``rate`` bytes a second. Pure; times are in seconds.

    In any time T at most ``rate * T`` bytes pass, and the largest count in addition, if the caller waits exactly so
    long; if a wait takes longer, the next bytes do not. Time in which nothing passed is not made up for.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_from = float("-inf")  # when the bytes that have passed are used up

    def delay(self, count: int, now: float) -> float:
        """How long after ``now`` the next ``count`` bytes may pass. They are counted as passed then."""
        begin = max(now, self._free_from)
        self._free_from = begin + count / self._rate
        return begin - now


class RateLimit:
    """Makes the thread that copies wait before it has a window read or written; 0 is no limit.

    Reads and writes are counted separately. Source and target are read at the same time, so a window that is read
    from both counts once. The limit is that of the requests: if a device stalls, and then answers several requests at
    once, these are at most the windows of one reader (see reader.SLOTS).
    """

    def __init__(
        self, rate: int, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.rate = rate
        self._clock, self._sleep = clock, sleep
        self._reads, self._writes = Bucket(rate), Bucket(rate)
        self._asked = float("-inf")  # when ``check`` was called the last time

    def before_read(self, count: int, check: Callable[[], None]) -> None:
        """Wait until ``count`` bytes may be read; ``check`` is called every POLL seconds and may raise to end it."""
        self._wait(self._reads, count, check)

    def before_write(self, count: int, check: Callable[[], None]) -> None:
        """Wait until ``count`` bytes may be written, as before_read() does."""
        self._wait(self._writes, count, check)

    def _wait(self, bucket: Bucket, count: int, check: Callable[[], None]) -> None:
        if not self.rate:
            return
        now = self._clock()
        end = now + bucket.delay(count, now)
        while True:
            if now - self._asked >= POLL:
                self._asked = now
                check()
            if now >= end:
                return
            self._sleep(min(POLL, end - now))
            now = self._clock()


UNLIMITED = RateLimit(0)
