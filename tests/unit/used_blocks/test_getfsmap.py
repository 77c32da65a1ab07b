# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of FS_IOC_GETFSMAP: what is free in them, page after page, and which maps are invalid."""

from __future__ import annotations

import errno
import os
import struct
from array import array
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.used_blocks.errors import UnknownLayoutError
from blksync.used_blocks.getfsmap import HEAD, RECORD, encode, free_extents, pages, parse_free

DEVICE, OTHER = encode("259:1"), encode("259:2")
KIB = 1024
SPECIAL, LAST, PREALLOC, SHARED = 0x10, 0x20, 0x1, 0x8
FREE, UNKNOWN, METADATA = 1, 2, 3


class Record(NamedTuple):
    start: int
    length: int
    owner: int = FREE
    flags: int = SPECIAL
    device: int = DEVICE
    offset: int = 0

    def packed(self) -> bytes:
        return struct.pack("=IIQQQQ24x", self.device, self.flags, self.start, self.owner, self.offset, self.length)


def parsed(*records: Record, size: int = 1 << 40, least: int = 0) -> list[int]:
    return list(parse_free([b"".join(record.packed() for record in records)], DEVICE, size, least))


def inode(start: int, length: int, number: int = 1, **more: int) -> Record:
    """A file's blocks; its number may be that which means "free" among the special owners."""
    return Record(start, length, number, **{"flags": 0, **more})


class FakeKernel:
    """Answers with the records behind the low key, as many as there is room for."""

    def __init__(self, records: list[Record], marks_last: bool = True, oflags: int = 1) -> None:
        self.records = [record.packed() for record in records]
        if marks_last and records:
            self.records[-1] = records[-1]._replace(flags=records[-1].flags | LAST).packed()
        self.oflags = oflags
        self.asked = 0

    def __call__(self, buffer: bytearray) -> None:
        self.asked += 1
        iflags, _oflags, count, _entries = struct.unpack_from("=4I", buffer)
        assert (iflags, buffer[16:64]) == (0, bytes(48))
        assert buffer[128:HEAD] == b"\xff" * 32 + bytes(32)
        low = bytes(buffer[64:128])
        first = 0 if low == bytes(RECORD) else self.records.index(low) + 1
        page = self.records[first : first + count]
        struct.pack_into("=4I", buffer, 0, 0, self.oflags, count, len(page))
        buffer[HEAD : HEAD + RECORD * len(page)] = b"".join(page)


def test_only_free_space_is_free() -> None:
    assert parsed(
        Record(0, 4 * KIB, METADATA),
        Record(4 * KIB, 4 * KIB),
        Record(8 * KIB, 4 * KIB, UNKNOWN),
        inode(12 * KIB, 4 * KIB),  # of inode 1, which is no free space
        Record(16 * KIB, 4 * KIB, flags=SPECIAL | PREALLOC),
        Record(20 * KIB, 4 * KIB, (ord("X") << 32) | 1),
        Record(24 * KIB, 4 * KIB, device=OTHER),
        # nothing is known of 28 to 32 KiB
        Record(32 * KIB, 4 * KIB, flags=SPECIAL | LAST),
    ) == [4 * KIB, 8 * KIB, 32 * KIB, 36 * KIB]


def test_adjacent_free_space_is_one_extent_and_short_ones_are_left_out() -> None:
    records = [Record(at * KIB, 4 * KIB) for at in (0, 4, 8, 20, 40, 44)]
    assert parsed(*records) == [0, 12 * KIB, 20 * KIB, 24 * KIB, 40 * KIB, 48 * KIB]
    assert parsed(*records, least=8 * KIB) == [0, 12 * KIB, 40 * KIB, 48 * KIB]


def test_blocks_that_files_share_may_overlap_each_other() -> None:
    shared = {"flags": SHARED}
    records = [inode(0, 64, 131, **shared), inode(0, 64, 132, **shared), inode(32, 8, 133, **shared)]
    assert parsed(*records, Record(64, 64)) == [64, 128]
    assert parsed(*records, Record(72, 64)) == [72, 136]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([Record(64, 64), Record(0, 64)], id="backwards"),
        pytest.param([inode(64, 64), inode(0, 64)], id="used and backwards"),
        pytest.param([Record(0, 64), Record(32, 64)], id="free twice"),
        pytest.param([Record(0, 64), inode(32, 64)], id="used within what is free"),
        pytest.param([Record(0, 64), inode(48, 8), Record(64, 8)], id="used at the end of what is free"),
        pytest.param([inode(0, 64), Record(32, 64)], id="free within what is used"),
        pytest.param([inode(0, 96), inode(32, 8), Record(64, 64)], id="free within something before the last"),
        pytest.param([inode(0, 64), Record(64, 2**40)], id="free behind the device"),
        pytest.param([inode(0, 64), Record(2**64 - 1, 2**64 - 1)], id="endless"),
    ],
)
def test_contradictions(records: list[Record]) -> None:
    with pytest.raises(UnknownLayoutError, match="contradicts itself"):
        parsed(*records, size=2**30)


@st.composite
def tilings(draw: st.DrawFn) -> list[Record]:
    """Records that ascend, with or without gaps between them, on two devices one after the other."""
    records = []
    for device in (DEVICE, OTHER) if draw(st.booleans()) else (OTHER, DEVICE):
        at = 0
        for _number in range(draw(st.integers(0, 30))):
            at += draw(st.sampled_from([0, 0, KIB]))
            length = draw(st.integers(1, 8)) * KIB
            owner, flags = draw(st.sampled_from([(FREE, SPECIAL), (UNKNOWN, SPECIAL), (METADATA, SPECIAL), (1, 0)]))
            records.append(Record(at, length, owner, flags, device))
            at += length
    return records


def joined(records: list[Record]) -> list[list[int]]:
    """The free extents, adjacent ones as one."""
    extents: list[list[int]] = []
    for record in records:
        if (record.device, record.owner, record.flags) == (DEVICE, FREE, SPECIAL):
            if extents and extents[-1][1] == record.start:
                extents[-1][1] += record.length
            else:
                extents.append([record.start, record.start + record.length])
    return extents


@given(tilings(), st.integers(1, 40), st.booleans(), st.sampled_from([0, 4 * KIB]))
def test_page_by_page_it_is_the_same(records: list[Record], count: int, marks_last: bool, least: int) -> None:
    kernel = FakeKernel(records, marks_last)
    if not records:
        with pytest.raises(UnknownLayoutError, match="empty"):
            parse_free(pages(kernel, count), DEVICE, 1 << 30, least)
        return
    found = parse_free(pages(kernel, count), DEVICE, 1 << 30, least)
    assert kernel.asked <= len(records) // count + 2
    assert list(found) == [edge for extent in joined(records) if extent[1] - extent[0] >= least for edge in extent]


def test_a_map_without_an_end() -> None:
    def answer(buffer: bytearray) -> None:
        struct.pack_into("=4I", buffer, 0, 0, 1, 1, 1)
        buffer[HEAD : HEAD + RECORD] = inode(0, 64).packed()

    with pytest.raises(UnknownLayoutError, match="no end"):
        parse_free(pages(answer, 1), DEVICE, 1 << 30, 0)


def test_a_map_that_goes_on_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blksync.used_blocks.getfsmap.MOST_RECORDS", 10)
    records = [Record(at * KIB, KIB) for at in range(11)]
    with pytest.raises(UnknownLayoutError, match="more than 10"):
        parse_free(pages(FakeKernel(records), 4), DEVICE, 1 << 30, 0)
    assert parse_free(pages(FakeKernel(records[:10]), 4), DEVICE, 1 << 30, 0) == array("Q", [0, 10 * KIB])


def test_devices_by_other_numbers() -> None:
    with pytest.raises(UnknownLayoutError, match="numbers"):
        list(pages(FakeKernel([Record(0, 64)], oflags=0)))


def test_more_records_than_room() -> None:
    with pytest.raises(UnknownLayoutError, match="longer"):
        list(pages(lambda buffer: struct.pack_into("=4I", buffer, 0, 0, 1, 4, 5), 4))


@given(st.integers(0, 2**12 - 1), st.integers(0, 2**20 - 1))
def test_device_numbers_are_those_of_the_kernel(major: int, minor: int) -> None:
    assert encode("%d:%d" % (major, minor)) == os.makedev(major, minor) & 0xFFFFFFFF


def test_a_file_system_without_such_a_map() -> None:
    fd = os.open("/proc", os.O_RDONLY)
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what counts
            free_extents(fd, "0:1", 1 << 30, 0)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.ENOTTY
