# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a copy waits so that it keeps to its rate, with a clock that only the waits move."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.engines.rate_limit import POLL, UNLIMITED, RateLimit
from blksync.errors import CancelledError

WINDOW = 1 << 20
RATE = 8 * WINDOW


class FakeClock:
    """Stands still unless somebody sleeps, which may take ``late`` seconds too long."""

    def __init__(self, late: float = 0.0) -> None:
        self.now = 0.0
        self.late = late

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late


def nothing() -> None:
    """Does not end the copy."""


def limited(clock: FakeClock, rate: int = RATE) -> RateLimit:
    return RateLimit(rate, clock, clock.sleep)


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(1, WINDOW), st.sampled_from((0.0, 0.0, 0.01, 0.13, 5.0))), max_size=40
)


@given(rate=st.integers(WINDOW, 1 << 31), late=st.sampled_from((0.0, 0.0004, 0.3)), steps=STEPS)
def test_in_any_interval_no_more_passes(rate: int, late: float, steps: list[tuple[bool, int, float]]) -> None:
    """A step: read or write, so many bytes, after a pause of so many seconds."""
    clock = FakeClock(late)
    limit = limited(clock, rate)
    passed: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
    for reading, count, pause in steps:
        clock.now += pause
        (limit.before_read if reading else limit.before_write)(count, nothing)
        passed[reading].append((clock.now, count))
    for events in passed.values():
        sums = [0, *accumulate(count for _time, count in events)]
        for first, (begin, _count) in enumerate(events):
            for last in range(first, len(events)):
                # A window that passed late, because the sleep took longer, does not delay the next one.
                allowed = rate * (events[last][0] - begin + late) + WINDOW
                assert sums[last + 1] - sums[first] <= allowed + 1  # a byte for the rounding of the clock


def test_a_copy_is_no_slower_than_its_limit() -> None:
    clock = FakeClock()
    limit = limited(clock)
    for _window in range(81):
        limit.before_read(WINDOW, nothing)
    assert clock.now == pytest.approx(80 * WINDOW / RATE)


def test_reads_do_not_wait_for_writes() -> None:
    clock = FakeClock()
    limit = limited(clock)
    for _window in range(3):
        limit.before_read(WINDOW, nothing)
        limit.before_write(WINDOW, nothing)
    assert clock.now == pytest.approx(2 * WINDOW / RATE)


@pytest.mark.parametrize("direction", [RateLimit.before_read, RateLimit.before_write])
def test_a_wait_ends_soon_if_the_copy_is_cancelled(direction: Callable[..., None]) -> None:
    clock = FakeClock()
    limit = limited(clock, 1)  # a byte a second

    def cancelled() -> None:
        if clock.now >= 1.0:
            raise CancelledError("Ended by SIGTERM.")

    direction(limit, WINDOW, cancelled)
    with pytest.raises(CancelledError):
        direction(limit, WINDOW, cancelled)
    assert 1.0 <= clock.now <= 1.0 + POLL + 1e-9


def test_many_short_waits_look_as_often_as_a_long_one() -> None:
    clock = FakeClock()
    limit = limited(clock, 100 * WINDOW)
    looked: list[float] = []
    for _window in range(101):
        limit.before_read(WINDOW, lambda: looked.append(clock.now))
    assert len(looked) == pytest.approx(1.0 / POLL, abs=2)
    assert max(later - sooner for sooner, later in pairwise(looked)) <= POLL + 0.011


def test_without_a_limit_nothing_is_asked_of_the_clock() -> None:
    def refuse(*_arguments: object) -> Any:
        raise AssertionError

    limit = RateLimit(0, refuse, refuse)
    limit.before_read(WINDOW, refuse)
    limit.before_write(WINDOW, refuse)
    assert UNLIMITED.rate == 0
