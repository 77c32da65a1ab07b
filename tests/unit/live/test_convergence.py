# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the passes over what was written meanwhile end."""

from __future__ import annotations

import pytest

from blksync.errors import LiveDoubtError
from blksync.live.convergence import MOST, SMALL, Convergence

SIZE = 400 * SMALL


def decisions(size: int, *dirty: int) -> list[bool]:
    iterations = Convergence(size)
    found = [iterations.is_last(count) for count in dirty]
    assert iterations.dirty == list(dirty)
    return found


@pytest.mark.parametrize("dirty", [0, 1, SMALL])
def test_a_little_is_copied_while_frozen_at_once(dirty: int) -> None:
    assert decisions(SIZE, dirty) == [True]
    assert decisions(2 * SMALL, dirty) == [True]  # though it is a large part of a small partition


def test_it_goes_on_as_long_as_it_gets_less() -> None:
    assert decisions(SIZE, 100 * SMALL, 50 * SMALL, 20 * SMALL, SMALL) == [False, False, False, True]


def test_it_ends_where_it_gets_no_less_and_is_not_much() -> None:
    assert decisions(SIZE, 10 * SMALL, 8 * SMALL) == [False, True]
    assert decisions(SIZE, 10 * SMALL, 7 * SMALL, 7 * SMALL) == [False, False, True]


def test_the_number_of_passes_is_limited() -> None:
    halves = [SIZE >> power for power in range(1, MOST + 2)]
    assert decisions(SIZE, *halves) == [False] * MOST + [True]


@pytest.mark.parametrize("dirty", [(300 * SMALL, 300 * SMALL), (SIZE, SIZE // 4 + 1, SIZE // 4 + 1)])
def test_what_does_not_converge_is_given_up(dirty: tuple[int, ...]) -> None:
    iterations = Convergence(SIZE)
    for count in dirty[:-1]:
        assert not iterations.is_last(count)
    with pytest.raises(
        LiveDoubtError,
        match=r"faster than it can be copied \(after %d passes %d bytes were left\)" % (len(dirty) - 1, dirty[-1]),
    ):
        iterations.is_last(dirty[-1])
    assert iterations.dirty == list(dirty)  # the report has what was found last as well


def test_a_quarter_is_still_copied_while_frozen() -> None:
    assert decisions(SIZE, SIZE // 4, SIZE // 4) == [False, True]
