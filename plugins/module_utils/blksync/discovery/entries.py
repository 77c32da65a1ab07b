# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The partitions that a table on the medium describes, numbered as the kernel numbers them.

Facts: block/partitions/msdos.c and efi.c of the kernel; UEFI specification 2.10, chapter 5.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, NamedTuple

Read = Callable[[int, int], "bytes | None"]

SIGNATURE = b"\x55\xaa"
_EXTENDED = (0x05, 0x0F, 0x85)
_NESTED = (0x63, 0x81, 0xA5, 0xA6, 0xA9)  # types in which the kernel looks for slices of Unixware, Minix and the BSDs
_LONGEST_CHAIN = 100  # logical partitions, as in the kernel
_LARGEST_ARRAY = 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """One partition of a table, in bytes. ``size`` is None for an extended one: the kernel shows only its beginning."""

    number: int
    start: int
    size: int | None


class Known(NamedTuple):
    """One partition as the kernel knows it, in bytes."""

    number: int
    start: int
    size: int


class _Row(NamedTuple):
    kind: int
    start: int
    size: int


def differing(entries: Iterable[Entry], known: Iterable[Known]) -> tuple[int, ...]:
    """The numbers of the partitions that table and kernel do not agree on, missing ones of either side included."""
    told, seen = {entry.number: entry for entry in entries}, {each.number: each for each in known}
    return tuple(n for n in sorted({*told, *seen}) if not _agree(told.get(n), seen.get(n)))


def _agree(told: Entry | None, seen: Known | None) -> bool:
    if told is None or seen is None:
        return False
    return told.start == seen.start and told.size in (None, seen.size)


def clipped(entries: Iterable[Entry], size: int) -> tuple[Entry, ...]:
    """As the kernel takes them on a disk of that size: cut at its end, and none that begins beyond it."""
    return tuple(
        Entry(entry.number, entry.start, None if entry.size is None else min(entry.size, size - entry.start))
        for entry in entries
        if entry.start < size
    )


def mbr_entries(read: Read, first: bytes, sector: int) -> tuple[Entry, ...] | None:
    """All partitions of an MBR, of which ``first`` is the sector; None where a logical one cannot be read.

    None as well for a type with partitions of its own inside, which only the kernel can tell.
    """
    rows = _rows(first, sector)
    if any(row.kind in _NESTED for row in rows):
        return None
    found = [
        Entry(number, row.start, None if row.kind in _EXTENDED else row.size)
        for number, row in enumerate(rows, 1)
        if row.size
    ]
    for extended in (row for row in rows if row.size and row.kind in _EXTENDED):
        logical = _logical(read, extended, sector)
        if logical is None:
            return None
        for row in logical:
            found.append(Entry(max(4, *(entry.number for entry in found)) + 1, row.start, row.size))
    return tuple(found)


def _logical(read: Read, extended: _Row, sector: int) -> list[_Row] | None:
    """The logical partitions of one extended partition, in the order of its chain of boot records."""
    found: list[_Row] = []
    at = extended.start
    for _link in range(_LONGEST_CHAIN):
        record = read(at, sector)
        if record is None:
            return None
        if record[510:512] != SIGNATURE:
            break
        rows = _rows(record, sector)
        found += [
            row._replace(start=at + row.start)
            for place, row in enumerate(rows)
            if row.size and row.kind not in _EXTENDED and (place < 2 or _inside(row, at, extended))
        ]
        following = [row for row in rows if row.size and row.kind in _EXTENDED]
        if not following:
            break
        at = extended.start + following[0].start  # relative to the extended partition, not to this record
    return found


def _inside(row: _Row, at: int, extended: _Row) -> bool:
    """The third and fourth entries of a record are mostly rubbish: they count only within the extended partition."""
    return extended.start <= at + row.start and at + row.start + row.size <= extended.start + extended.size


def _rows(record: bytes, sector: int) -> list[_Row]:
    rows = (struct.unpack_from("<4xB3xII", record, at) for at in range(446, 510, 16))
    return [_Row(kind, start * sector, count * sector) for kind, start, count in rows]


def gpt_entries(read: Read, header: bytes, sector: int, size: int) -> tuple[Entry, ...] | None:
    """The partitions of a GPT whose header was found good; None where its array is unreadable or damaged."""
    first, count, length, checksum = struct.unpack_from("<QIII", header, 72)
    whole = -(-count * length // sector) * sector
    if length < 128 or not whole or whole > _LARGEST_ARRAY or first * sector + whole > size:
        return None
    array = read(first * sector, whole)
    if array is None or zlib.crc32(array[: count * length]) != checksum:
        return None
    return tuple(_gpt_rows(array[: count * length], length, sector, size // sector - 1))


def _gpt_rows(array: bytes, length: int, sector: int, last: int) -> Iterator[Entry]:
    for place in range(len(array) // length):
        kind, start, end = struct.unpack_from("<16s16xQQ", array, place * length)
        if any(kind) and start <= end and end <= last:
            yield Entry(place + 1, start * sector, (end - start + 1) * sector)
