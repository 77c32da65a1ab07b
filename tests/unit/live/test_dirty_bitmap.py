# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dirty map against a plain set of the chunks that were touched."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.engines.range_map import Layout
from blksync.live import dirty_bitmap
from blksync.live.dirty_bitmap import CHUNK, DirtyBitmap
from blksync.ranges import Range

MIB = 1024 * 1024
SIZE = 3 * MIB + 5 * 512  # the last chunk is short
places = st.integers(-CHUNK, SIZE + 2 * CHUNK)
spans = st.lists(st.tuples(places, places), max_size=20)


def touched(spans: list[tuple[int, int]], chunk: int) -> set[int]:
    """The first byte of every chunk that a write inside the partition touches, counted sector by sector."""
    inside = [(max(0, start), min(end, SIZE)) for start, end in spans]
    return {at // chunk * chunk for start, end in inside for at in [*range(start, end, 512), end - 1] if start < end}


def chunks(ranges: tuple[Range, ...], chunk: int) -> set[int]:
    return {at for span in ranges for at in range(span.offset, span.offset + span.length, chunk)}


@given(spans, st.sampled_from([512, 4096, CHUNK, 2 * CHUNK, MIB]))
def test_every_chunk_that_was_written_and_no_other(spans: list[tuple[int, int]], block: int) -> None:
    dirty = DirtyBitmap(SIZE, block)
    for start, end in spans:
        dirty.mark(start, end)
    ranges = dirty.ranges()
    assert dirty.chunk == max(block, CHUNK)
    assert chunks(ranges, dirty.chunk) == touched(spans, dirty.chunk)
    assert all(one.offset + one.length < other.offset for one, other in itertools.pairwise(ranges))
    assert all(span.length > 0 and span.offset + span.length <= SIZE for span in ranges)
    Layout(ranges, SIZE, block, max(block, MIB))  # what engines make of them
    dirty.clear()
    assert dirty.ranges() == ()


@pytest.mark.parametrize("size", [512, CHUNK, CHUNK + 512])
def test_the_whole_partition(size: int) -> None:
    dirty = DirtyBitmap(size, 4096)
    dirty.mark(0, size)
    assert dirty.ranges() == (Range(0, size),)


def test_memory_is_bounded_however_large_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty_bitmap, "MOST_CHUNKS", 16)
    dirty = DirtyBitmap(64 * CHUNK, 4096)
    assert dirty.chunk == 8 * CHUNK
    dirty.mark(63 * CHUNK, 63 * CHUNK + 512)
    assert dirty.ranges() == (Range(56 * CHUNK, 8 * CHUNK),)
    monkeypatch.undo()
    assert DirtyBitmap(100 << 40, 4096).chunk == 32 * MIB  # 100 TiB: less than 4 MiB of marks
