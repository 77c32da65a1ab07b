# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine without devices: differing runs, ranges laid end to end, marks of what was written."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blksync.engines.native.compare import changed_extents
from blksync.engines.range_map import Layout
from blksync.engines.write_log import marked_extents
from blksync.errors import EngineError
from blksync.ranges import Range

BLOCK = 16


def differing_blocks(first: bytes, second: bytes, block: int) -> set[int]:
    return {at // block for at in range(0, len(first), block) if first[at : at + block] != second[at : at + block]}


@given(length=st.integers(0, 40 * BLOCK + 5), touched=st.lists(st.integers(0, 40 * BLOCK + 4), max_size=60))
@example(length=17 * BLOCK, touched=[16 * BLOCK])  # the first block after a group
@example(length=17 * BLOCK, touched=list(range(0, 17 * BLOCK, BLOCK)))
@example(length=3, touched=[2])
def test_runs_are_exactly_the_differing_blocks_merged(length: int, touched: list[int]) -> None:
    first, second = bytearray(length), bytearray(length)
    for at in touched:
        if at < length:
            second[at] = 1
    runs = changed_extents(memoryview(first), memoryview(second), BLOCK)
    covered = {block for start, size in runs for block in range(start // BLOCK, -(-(start + size) // BLOCK))}
    assert covered == differing_blocks(first, second, BLOCK)
    assert all(size > 0 and start % BLOCK == 0 for start, size in runs)
    assert all(start + size < following for (start, size), (following, _size) in itertools.pairwise(runs))
    assert all((start + size) % BLOCK == 0 or start + size == length for start, size in runs)


@st.composite
def ranges_of_a_pair(draw: st.DrawFn) -> tuple[list[Range], int]:
    """Ranges in multiples of the block, in any order, and the size of the pair that they lie in."""
    ranges, at = [], 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=8)):
        at += gap * BLOCK
        ranges.append(Range(at, length * BLOCK))
        at += length * BLOCK
    rest = draw(st.integers(0, BLOCK - 1))
    if rest and draw(st.booleans()):
        ranges.append(Range(at, rest))
    return draw(st.permutations(ranges)), at + rest


@given(ranges_of_a_pair(), st.integers(1, 7))
def test_a_layout_visits_every_byte_of_the_ranges_once_and_no_other(drawn: tuple[list[Range], int], step: int) -> None:
    ranges, size = drawn
    layout = Layout(ranges, size, BLOCK, step * BLOCK)
    visited = [
        offset
        for position, length in layout.windows()
        for extent in layout.extents(position, length)
        for offset in range(extent.offset, extent.offset + extent.length)
    ]
    wanted = sorted(offset for span in ranges for offset in range(span.offset, span.offset + span.length))
    assert visited == wanted
    assert layout.length == len(wanted)


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [
        ([Range(0, 32), Range(16, 16)], "overlaps"),
        ([Range(96, 16)], "leaves the pair"),
        ([Range(0, 16), Range(-16, 16)], "leaves the pair"),
        ([Range(8, 8)], "multiple"),
        ([Range(0, 8)], "multiple"),
        ([Range(32, -16)], "overlaps"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(ranges: list[Range], reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        Layout(ranges, 100, BLOCK)


@given(st.sets(st.integers(0, 70)), st.integers(1, 9), st.integers(0, 8))
def test_a_mask_is_turned_into_the_runs_of_its_bits(bits: set[int], unit: int, short: int) -> None:
    length = 71 * unit - min(short, unit - 1)
    runs = marked_extents(sum(1 << bit for bit in bits), unit, length)
    covered = [byte for start, size in runs for byte in range(start, start + size)]
    assert covered == [byte for byte in range(length) if byte // unit in bits]
    assert all(start + size < following for (start, size), (following, _size) in itertools.pairwise(runs))
