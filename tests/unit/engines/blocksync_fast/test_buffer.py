# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The buffer that keeps blocksync-fast from losing a run, and what is said of a run that it lost all the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blksync.engines.blocksync_fast.buffer import MAX_BUFFER, MIN_BUFFER, Geometry, geometry
from tests.support.lost_run import lost_bytes

BLOCKS = st.sampled_from([512, 4096, 8192, 65536, 4 * 1024 * 1024])
SIZES = st.one_of(st.integers(1, 1 << 20), st.integers(1, 1 << 30), st.integers(1, 1 << 46))
GIB = 1 << 30
PRIME = 1048583  # more blocks than a buffer holds


@given(SIZES, BLOCKS)
@example(8 * 4096, 4096)
@example(4096, 4096)
@example((PRIME + 1) * 4096, 4096)
def test_the_buffer_is_one_that_the_program_takes_as_it_is(size: int, block: int) -> None:
    plan = geometry(size, block)
    assert plan.block == block
    assert (plan.blocks - 1) * block < size <= plan.blocks * block
    assert plan.buffer % block == 0
    assert plan.buffer >= 2 * block
    assert plan.buffer <= max(MAX_BUFFER, 2 * block) < GIB


@given(SIZES, BLOCKS)
@example(2 * 4096, 4096)
@example(3 * 4096, 4096)
@example((PRIME + 1) * 4096, 4096)
def test_safe_means_that_the_last_block_begins_a_buffer(size: int, block: int) -> None:
    plan = geometry(size, block)
    aligned = (plan.blocks - 1) % (plan.buffer // block) == 0
    assert plan.safe == aligned
    if plan.safe and plan.blocks > MAX_BUFFER // block + 1:
        assert plan.buffer >= MIN_BUFFER


@given(st.integers(1, 64 * 4096), st.sets(st.integers(0, 63)))
def test_a_safe_buffer_loses_nothing(size: int, changed: set[int]) -> None:
    plan = geometry(size, 4096)
    if plan.safe:
        assert not lost_bytes(size, plan.block, plan.buffer, {number for number in changed if number < plan.blocks})


@given(st.integers(1, 32 * 4096), st.integers(2, 8), st.sets(st.integers(0, 31)))
@example(8 * 4096, 8, {6})
@example(8 * 4096 - 100, 8, {4, 5, 6})
@example(8 * 4096 - 100, 8, {4, 5, 6, 7})
def test_a_lost_run_is_recognised(size: int, per_buffer: int, changed: set[int]) -> None:
    blocks = -(-size // 4096)
    changed = {number for number in changed if number < blocks}
    plan = Geometry(4096, per_buffer * 4096, blocks, (blocks - 1) % per_buffer == 0)
    lost = lost_bytes(size, plan.block, plan.buffer, changed)
    repaired = [lost.start // 4096] if lost else []
    assert plan.is_lost_run(len(changed), repaired) == bool(lost)
    assert all(number >= plan.last_window for number in repaired)
    if lost:
        assert lost.stop <= (repaired[0] + 1) * 4096
        assert repaired[0] in changed


@pytest.mark.parametrize(
    ("reported", "repaired"),
    [
        (1, []),
        (0, [2]),  # nothing was counted
        (1, [1]),  # the run up to the second-to-last block would be longer than what was counted
        (1, [3]),  # the last block is never the lost one
        (9, [1, 2]),  # one block is lost, never two
    ],
)
def test_other_repairs_are_no_lost_run(reported: int, repaired: list[int]) -> None:
    assert not Geometry(4096, 8 * 4096, 4, False).is_lost_run(reported, repaired)


@pytest.mark.parametrize(
    ("blocks", "per_buffer"),
    [(3, 2), (8, 7), (256, 255), (4097, 512), (2 * 4096 + 1, 512), (3 * 401 + 1, 401), (262144, 511)],
)
def test_the_largest_safe_buffer_is_taken(blocks: int, per_buffer: int) -> None:
    assert geometry(blocks * 4096, 4096) == Geometry(4096, per_buffer * 4096, blocks, True)
    assert geometry(blocks * 4096 - 4095, 4096) == Geometry(4096, per_buffer * 4096, blocks, True)


def test_pairs_without_a_safe_buffer() -> None:
    assert not geometry(2 * 4096, 4096).safe
    assert not geometry((PRIME + 1) * 4096, 4096).safe
    assert geometry((PRIME + 1) * 4096, 4096).buffer == MAX_BUFFER


def test_less_memory_may_leave_no_safe_buffer() -> None:
    assert geometry(8 * 4096, 4096, 7 * 4096) == Geometry(4096, 7 * 4096, 8, True)
    assert geometry(8 * 4096, 4096, 6 * 4096) == Geometry(4096, 6 * 4096, 8, False)
    assert geometry(8 * 4096, 4096, 1) == Geometry(4096, 2 * 4096, 8, False)


def test_nothing_at_all_has_no_blocks() -> None:
    assert geometry(0, 4096).blocks == 0
