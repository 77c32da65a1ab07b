# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From free extents to ranges: nothing used is left out, and no more is copied than the rules say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.engines.range_map import Layout
from blksync.errors import Reason
from blksync.ranges import Range, whole
from blksync.used_blocks import ranges
from blksync.used_blocks.ranges import EDGE, GAP, MIRROR, MIRRORS, everything, used_blocks

KIB, MIB = 1024, 1024 * 1024
BLOCKS = st.sampled_from([4096, 65536, MIB])


@st.composite
def partitions(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Free extents, where they begin to count, and the partition's size, in bytes; to the sector, not to the block."""
    steps = draw(st.lists(st.integers(1, 1200) | st.integers(1, 50_000), max_size=40))
    ends, at = [], draw(st.integers(0, 300))
    for step in steps:
        ends.append(at * 512)
        at += step
    free = ends[: len(ends) // 2 * 2]
    shift = draw(st.sampled_from([0, 512 * 7, 2 * MIB]))
    last = free[-1] if free else 0
    return free, shift, shift + last + draw(st.sampled_from([0, 512, 4096, 3 * MIB + 512]))


@given(partitions(), BLOCKS)
def test_ranges_and_gaps_are_the_whole(partition: tuple[list[int], int, int], block: int) -> None:
    free, shift, size = partition
    used = used_blocks(free, shift, size, block)
    assert used.reason is None
    assert Layout(used.ranges, size, block, block).length == size - used.skipped
    edges = [0, *(edge for span in used.ranges for edge in (span.offset, span.offset + span.length)), size]
    gaps = [(start, end) for start, end in zip(edges[0::2], edges[1::2], strict=True) if start != end]
    assert sum(end - start for start, end in gaps) == used.skipped
    extents = [(start + shift, end + shift) for start, end in zip(free[0::2], free[1::2], strict=True)]
    mirror = shift + MIRRORS[0]
    for start, end in gaps:
        assert end - start >= GAP
        assert any(first <= start and end <= last for first, last in extents)
        assert start >= shift + EDGE
        assert end <= size - EDGE
        assert end <= mirror or start >= mirror + MIRROR
    for first, last in extents:
        inner = (max(first, shift + EDGE), min(last, size - EDGE))
        start, end = -(-inner[0] // block) * block, inner[1] // block * block
        across = start < mirror + MIRROR and mirror < end
        assert across or end - start < GAP or (start, end) in gaps


def test_widened_to_blocks_and_joined() -> None:
    size = 100 * MIB + 512
    free = [at + 10 * MIB for at in (4096, 4096 + GAP - 512, MIB + 512, 2 * MIB, 3 * MIB, 3 * MIB + GAP)]
    used = used_blocks([*free, 50 * MIB, 60 * MIB], 0, size, 4096)
    assert used.ranges == (
        Range(0, 11 * MIB + 4096),
        Range(12 * MIB, MIB),
        Range(13 * MIB + GAP, 37 * MIB - GAP),
        Range(60 * MIB, 40 * MIB + 512),
    )
    assert used.skipped == MIB - 4096 + GAP + 10 * MIB


def test_what_lies_before_and_behind_is_used() -> None:
    used = used_blocks([8 * MIB, 16 * MIB], 16 * MIB, 64 * MIB, 4096)
    assert used.ranges == (Range(0, 24 * MIB), Range(32 * MIB, 32 * MIB))


@pytest.mark.parametrize("shift", [0, 16 * MIB])
def test_edges_and_mirrors_are_used_whatever_is_free(shift: int) -> None:
    size = 300 * 1024 * MIB + 512
    used = used_blocks([0, size - shift], shift, size, 4096)
    far = shift + MIRRORS[1]
    assert used.ranges == (
        Range(0, shift + EDGE),
        Range(shift + 64 * MIB, 4096),
        Range(far, 4096),
        Range((size - EDGE) // 4096 * 4096, EDGE + 512),
    )


def test_a_partition_of_nothing_but_edges_is_copied_whole() -> None:
    assert used_blocks([0, 7 * MIB], 0, 7 * MIB, 4096).ranges == whole(7 * MIB)


def test_nothing_is_free() -> None:
    assert used_blocks([], 0, MIB, 4096).ranges == whole(MIB)
    reason = Reason("swap", "it is used as swap")
    assert everything(MIB, reason).ranges == whole(MIB)
    assert (everything(MIB, reason).reason, everything(MIB, reason).skipped) == (reason, 0)


def test_many_ranges_are_joined_across_larger_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "MOST_RANGES", 4)
    sizes = [GAP, 4 * GAP, GAP, 4 * GAP, 2 * GAP, 5 * GAP, GAP]
    free, at = [], EDGE
    for size in sizes:
        free += [at + 4096, at + 4096 + size]
        at += 4096 + size
    used = used_blocks(free, 0, at + EDGE, 4096)
    assert len(used.ranges) == 4
    assert used.skipped == 13 * GAP
    gaps = [other.offset - span.offset - span.length for span, other in pairwise(used.ranges)]
    assert gaps == [4 * GAP, 4 * GAP, 5 * GAP]
