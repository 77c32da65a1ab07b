# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Header and array of a GPT (UEFI specification 2.10, chapter 5; block/partitions/efi.c)."""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import Iterator

from .entries import Entry, Read

_LARGEST_ARRAY = 1024 * 1024


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


def gpt_identifier(header: bytes) -> str | None:
    """The disk GUID of a GPT header, or None if the header's magic or checksum is wrong."""
    if len(header) < 92 or header[:8] != b"EFI PART":
        return None
    length, checksum = struct.unpack_from("<II", header, 12)
    if not 92 <= length <= len(header):
        return None
    if zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
        return None
    return str(uuid.UUID(bytes_le=header[56:72]))
