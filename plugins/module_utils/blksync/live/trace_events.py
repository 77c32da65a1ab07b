# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Parses the kernel's ring buffer: from the bytes of a sub-buffer to the sectors that were written. Pure.

The layout is that of linux/ring_buffer.h and kernel/trace/ring_buffer.c, on little-endian machines; the place of every
field comes from tracefs itself (events/header_page and the event's format).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import Reason

PADDING, TIME_EXTEND = 29, 30  # kinds of entries that are no event; 31 is an absolute time
MISSED = 3 << 30  # RB_MISSED_EVENTS and RB_MISSED_STORED
LENGTH = (1 << 28) - 1  # the bits of commit that count bytes
LOST_EVENTS = Reason("trace_lost_events", "the kernel's trace lost events")
NOT_UNDERSTOOD = Reason("trace_not_understood", "the trace holds something that is not understood")
_FIELD = re.compile(r"field:[^;]*?(\w+)(?:\[\d+\])?;\s*offset:(\d+);\s*size:(\d+);")
_WORD = struct.Struct("<I")
_LONG = struct.Struct("<Q")
_SHORT = struct.Struct("<H")


class WriteFormat(NamedTuple):
    """Where block_bio_queue keeps what is needed, in bytes from its start; ``page`` and ``commit`` are of a sub-buffer:
    where its data begins, and where it says how much there is."""

    event: int
    sector: int
    sectors: int
    commit: int
    page: int


def parse_format(event_id: str, event: str, page: str) -> WriteFormat:
    """From the texts of the event's ``id`` and ``format`` and of ``events/header_page``.

    Raises ValueError if they are not what this understands.
    """
    fields, header = _fields(event), _fields(page)
    try:
        if fields["sector"][1] != 8 or fields["nr_sector"][1] != 4 or fields["common_type"] != (0, 2):
            raise ValueError("the event's fields have other sizes")
        return WriteFormat(
            int(event_id), fields["sector"][0], fields["nr_sector"][0], header["commit"][0], header["data"][0]
        )
    except KeyError as error:
        raise ValueError("no field %s" % error) from error


def _fields(text: str) -> dict[str, tuple[int, int]]:
    """Offset and size of every field in a format text."""
    return {name: (int(offset), int(size)) for name, offset, size in _FIELD.findall(text)}


@dataclass
class Writes:
    """The writes in a sub-buffer: (first sector, number of sectors) of the whole disk.

    ``doubt`` says why there may have been others, and is None if all are here.
    """

    spans: list[tuple[int, int]] = field(default_factory=list)
    doubt: Reason | None = None


def parse_page(page: bytes, layout: WriteFormat) -> Writes:
    """Everything in one sub-buffer as trace_pipe_raw gives it."""
    writes = Writes()
    commit = _WORD.unpack_from(page, layout.commit)[0] if len(page) >= layout.page else 0
    if commit & MISSED:
        writes.doubt = LOST_EVENTS
    end = layout.page + (commit & LENGTH)
    if end > len(page) or not _parse(page, layout, end, writes.spans):
        writes.doubt = NOT_UNDERSTOOD
    return writes


def _parse(page: bytes, layout: WriteFormat, end: int, spans: list[tuple[int, int]]) -> bool:
    """Add every write before ``end``; False if something is not understood."""
    at, needed = layout.page, max(layout.sector + 8, layout.sectors + 4)
    while at + 4 <= end:
        kind = page[at] & 31
        delta = _WORD.unpack_from(page, at)[0] >> 5
        if kind == PADDING and not delta:
            break  # the rest of the sub-buffer is empty
        counted = kind in (0, PADDING)  # the next word says how long it is
        if counted and at + 8 > end:
            return False
        data = at + (8 if counted else 4)
        at += 4 + (_WORD.unpack_from(page, at + 4)[0] if counted else 4 if kind > PADDING else kind * 4)
        if at > end:
            return False
        if kind >= PADDING:
            continue
        if data + needed > at or _SHORT.unpack_from(page, data)[0] != layout.event:
            return False
        sector = _LONG.unpack_from(page, data + layout.sector)[0]
        spans.append((sector, _WORD.unpack_from(page, data + layout.sectors)[0]))
    return True
