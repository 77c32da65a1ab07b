# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The partitions of an MBR, the logical ones included (block/partitions/msdos.c of the kernel)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from .entries import Entry, Read

SIGNATURE = b"\x55\xaa"
_EXTENDED = (0x05, 0x0F, 0x85)
_NESTED = (0x63, 0x81, 0xA5, 0xA6, 0xA9)  # types in which the kernel looks for slices of Unixware, Minix and the BSDs
_LONGEST_CHAIN = 100  # logical partitions, as in the kernel


class _Row(NamedTuple):
    kind: int
    start: int
    size: int


def mbr_entries(read: Read, first: bytes, sector: int) -> tuple[Entry, ...] | None:
    """All partitions of an MBR, of which ``first`` is the sector; None if a logical one cannot be read.

    None as well for a type with partitions of its own inside, which only the kernel knows.
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
