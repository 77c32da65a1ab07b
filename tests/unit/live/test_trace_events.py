# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sub-buffers of the kernel's trace: every write in them is found, and whatever is not understood is a doubt."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.errors import Reason
from blksync.live.trace_events import LOST_EVENTS, NOT_UNDERSTOOD, WriteFormat, parse_format, parse_page

GOLDEN = Path(__file__).parent / "golden"
PAGE = 4096
HEADER = (GOLDEN / "header_page-6.18.txt").read_text()
FORMAT = (GOLDEN / "format-6.18.txt").read_text()
LAYOUT = WriteFormat(event=2097, sector=16, sectors=24, commit=8, page=16)
MISSED = 1 << 31
STORED = 1 << 30


def golden_page(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / (name + ".hex")).read_text()).ljust(PAGE, b"\0")


def printed(name: str) -> list[tuple[int, int]]:
    """The same events in the kernel's own words: "7,2 WS 37634 + 196"."""
    lines = [line.split() for line in (GOLDEN / (name + ".txt")).read_text().splitlines()]
    return [(int(fields[2]), int(fields[4])) for fields in lines]


@pytest.mark.parametrize(("name", "doubt"), [("few", None), ("full", None), ("lost", LOST_EVENTS)])
def test_pages_of_a_kernel(name: str, doubt: Reason | None) -> None:
    writes = parse_page(golden_page(name), LAYOUT)
    assert writes.spans == printed(name)
    assert len(writes.spans) > 15
    assert writes.doubt == doubt


@pytest.mark.parametrize("name", ["few", "full"])
def test_a_page_that_is_cut_off_anywhere_is_a_doubt(name: str) -> None:
    page = golden_page(name)
    end = LAYOUT.page + (struct.unpack_from("<I", page, LAYOUT.commit)[0] & 0xFFFFFFF)
    for length in range(end):
        assert parse_page(page[:length], LAYOUT).doubt == NOT_UNDERSTOOD


def test_formats_of_kernels() -> None:
    assert parse_format("2097", FORMAT, HEADER) == LAYOUT
    older = (GOLDEN / "format-6.1.txt").read_text()
    assert parse_format("1156", older, HEADER) == LAYOUT._replace(event=1156)
    short = HEADER.replace("offset:8;\tsize:8", "offset:8;\tsize:4").replace(
        "offset:16;\tsize:4080", "offset:12;\tsize:4084"
    )
    assert parse_format("2097", FORMAT, short).page == 12  # where a long has four bytes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sector_t sector;\toffset:16;\tsize:8", "sector_t sector;\toffset:16;\tsize:4"),
        ("nr_sector;\toffset:24;\tsize:4", "bytes;\toffset:24;\tsize:4"),
        ("common_type;\toffset:0;\tsize:2", "common_type;\toffset:0;\tsize:4"),
    ],
)
def test_other_formats_are_refused(old: str, new: str) -> None:
    assert old in FORMAT
    with pytest.raises(ValueError, match=r"no field|other sizes"):
        parse_format("2097", FORMAT.replace(old, new), HEADER)


def test_an_unknown_page_is_refused() -> None:
    with pytest.raises(ValueError, match="commit"):
        parse_format("2097", FORMAT, HEADER.replace("commit", "committed"))


@dataclass
class Entry:
    """One entry of a sub-buffer, as linux/ring_buffer.h has it; ``span`` where it is a write."""

    data: bytes
    span: tuple[int, int] | None = None


def head(kind: int, delta: int) -> bytes:
    return struct.pack("<I", delta << 5 | kind)


def body(sector: int, sectors: int, event: int = LAYOUT.event, length: int = 56) -> bytes:
    return struct.pack("<HBBiIIQI", event, 0, 0, 1, 7 << 20, 0, sector, sectors).ljust(length, b"\0")


deltas = st.integers(0, (1 << 27) - 1)
sectors = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))


@st.composite
def writes(draw: st.DrawFn) -> Entry:
    span = draw(sectors)
    data = body(*span, length=draw(st.sampled_from([28, 52, 56, 60, 112])))
    if draw(st.booleans()):
        return Entry(head(len(data) // 4, draw(deltas)) + data, span)
    return Entry(head(0, draw(deltas)) + struct.pack("<I", len(data) + 4) + data, span)


@st.composite
def discarded(draw: st.DrawFn) -> Entry:
    """A write that was taken back after it had its place: padding with a delta, and its length in the next word."""
    data = body(*draw(sectors))
    return Entry(head(29, draw(st.integers(1, 99))) + struct.pack("<I", len(data)) + data[4:])


times = st.builds(
    lambda kind, delta, more: Entry(head(kind, delta) + struct.pack("<I", more)),
    st.sampled_from([30, 31]),
    deltas,
    st.integers(0, 2**32 - 1),
)
entries = st.lists(st.one_of(writes(), writes(), discarded(), times), max_size=30)


def page_of(entries: list[Entry], flags: int = 0, rest: bytes = b"") -> bytes:
    data = b"".join(entry.data for entry in entries)
    return (struct.pack("<QQ", 12345, len(data) | flags) + data + rest).ljust(PAGE, b"\0")


@given(entries, st.sampled_from([0, MISSED, MISSED | STORED]), st.binary(max_size=200))
def test_every_write_is_found_and_nothing_else(entries: list[Entry], flags: int, rest: bytes) -> None:
    """What lies behind the end, the number of lost events for one, does not count."""
    found = parse_page(page_of(entries, flags, rest), LAYOUT)
    assert found.spans == [entry.span for entry in entries if entry.span]
    assert found.doubt == (LOST_EVENTS if flags else None)


@given(entries, entries)
def test_the_rest_of_a_page_may_be_empty(entries: list[Entry], old: list[Entry]) -> None:
    found = parse_page(page_of([*entries, Entry(head(29, 0)), *old]), LAYOUT)
    assert found.spans == [entry.span for entry in entries if entry.span]
    assert found.doubt is None


@given(entries, sectors, st.integers(0, 2**16 - 1).filter(lambda event: event != LAYOUT.event), entries)
def test_an_unknown_event_is_a_doubt(
    before: list[Entry], span: tuple[int, int], event: int, after: list[Entry]
) -> None:
    strange = Entry(head(14, 1) + body(*span, event=event))
    assert parse_page(page_of([*before, strange, *after]), LAYOUT).doubt == NOT_UNDERSTOOD


@given(entries, st.integers(1, 6))
def test_an_event_too_short_for_its_fields_is_a_doubt(before: list[Entry], words: int) -> None:
    short = Entry(head(words, 1) + body(1, 1)[: 4 * words])
    assert parse_page(page_of([*before, short]), LAYOUT).doubt == NOT_UNDERSTOOD


@given(entries, writes(), st.data())
def test_a_last_event_that_is_cut_off_is_a_doubt(before: list[Entry], last: Entry, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(last.data) // 4 - 1)) * 4
    page = page_of([*before, Entry(last.data[:cut])])
    assert parse_page(page, LAYOUT).doubt == NOT_UNDERSTOOD


@given(st.binary(max_size=300))
def test_rubbish_is_never_an_exception(page: bytes) -> None:
    parse_page(page, LAYOUT)
    parse_page(page.ljust(PAGE, b"\xff"), LAYOUT)


@pytest.mark.parametrize("kind", [0, 29])
def test_a_length_that_would_be_behind_the_page_is_a_doubt(kind: int) -> None:
    fill = [Entry(head(28, 1) + body(1, 1, length=112)) for _number in range(35)]
    page = page_of([*fill, Entry(head(kind, 1))])
    cut = LAYOUT.page + 35 * 116 + 4
    assert parse_page(page[:cut], LAYOUT).doubt == NOT_UNDERSTOOD
