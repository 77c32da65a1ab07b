# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The partition table's own word on its kind and identifier, where nobody else knows or can be trusted.

Layouts: UEFI specification 2.10, chapter 5 (protective MBR, GPT header); MBR disk signature at byte 440.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import Callable

_SIGNATURE = b"\x55\xaa"
_PROTECTIVE = 0xEE
# Boot sectors of file systems carry the same signature; their own names tell them apart.
_FILE_SYSTEMS = ((3, b"NTFS    "), (3, b"EXFAT   "), (54, b"FAT"), (82, b"FAT32"))


def read_table(read: Callable[[int, int], bytes | None], sector: int, size: int) -> tuple[str | None, str | None]:
    """The table's kind ("dos", "gpt" or None) and identifier (as lsblk writes a PTUUID, or None).

    ``read(offset, length)`` gives bytes of the disk or None, ``sector`` is its logical sector and ``size`` its
    length, all in bytes. A damaged GPT header is replaced by the second one at the disk's end.
    """
    first = read(0, sector)
    if first is None or len(first) < 512 or first[510:512] != _SIGNATURE:
        return None, None
    entries = [first[at : at + 16] for at in range(446, 510, 16)]
    if any(entry[4] == _PROTECTIVE for entry in entries):
        for offset in (sector, size // sector * sector - sector):
            identifier = gpt_identifier(read(offset, sector) or b"")
            if identifier:
                return "gpt", identifier
        return None, None
    if any(entry[0] not in (0, 0x80) for entry in entries):
        return None, None
    if any(first[at : at + len(name)] == name for at, name in _FILE_SYSTEMS):
        return None, None
    signature = struct.unpack_from("<I", first, 440)[0]
    return "dos", "%08x" % signature if signature else None


def gpt_identifier(header: bytes) -> str | None:
    """The disk GUID of a GPT header, or None where the header's magic or checksum is wrong."""
    if len(header) < 92 or header[:8] != b"EFI PART":
        return None
    length, checksum = struct.unpack_from("<II", header, 12)
    if not 92 <= length <= len(header):
        return None
    if zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
        return None
    return str(uuid.UUID(bytes_le=header[56:72]))
