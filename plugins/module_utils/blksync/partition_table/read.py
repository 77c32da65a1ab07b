# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads the kind, the identifier and the partitions of a table from the medium, for when udev and the kernel lack them.

Layouts: UEFI specification 2.10, chapter 5 (protective MBR, GPT header); MBR disk signature at byte 440.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .entries import Entry, Read, clipped
from .gpt import gpt_entries, gpt_identifier
from .mbr import SIGNATURE, mbr_entries

_PROTECTIVE = 0xEE
# Boot sectors of file systems carry the same signature; their own names distinguish them.
_FILE_SYSTEMS = ((3, b"NTFS    "), (3, b"EXFAT   "), (54, b"FAT"), (82, b"FAT32"))


@dataclass(frozen=True)
class Table:
    """``kind`` is "dos" or "gpt", ``identifier`` as lsblk writes a PTUUID; what is unknown is None.

    ``entries`` are empty if a table was wiped off the medium.
    """

    kind: str | None = None
    identifier: str | None = None
    entries: tuple[Entry, ...] | None = None


def read_table(read: Read, sector: int, size: int) -> Table:
    """The table on the medium.

    ``read(offset, length)`` gives bytes of the disk or None, ``sector`` is its logical sector and ``size`` its
    length, all in bytes. A damaged GPT is replaced by the second one at the disk's end.
    """
    first = read(0, sector)
    if first is None or len(first) < 512:
        return Table()
    entries = [first[at : at + 16] for at in range(446, 510, 16)]
    bootable_or_not = all(entry[0] in (0, 0x80) for entry in entries)
    if first[510:512] != SIGNATURE:
        # Zeros; or wipefs, which takes only the signature away. Other kinds of tables do not look like that.
        unsigned = first[510:512] == bytes(2) and bootable_or_not and any(entry[4] for entry in entries)
        return Table(entries=() if unsigned or not any(first) else None)
    if any(entry[4] == _PROTECTIVE for entry in entries):
        return _gpt(read, sector, size)
    if not bootable_or_not:
        return Table()
    if any(first[at : at + len(name)] == name for at, name in _FILE_SYSTEMS):
        return Table()
    signature = struct.unpack_from("<I", first, 440)[0]
    found = mbr_entries(read, first, sector)
    found = None if found is None else clipped(found, size)
    return Table("dos", "%08x" % signature if signature else None, found)


def _gpt(read: Read, sector: int, size: int) -> Table:
    """The first of both whose header and array are good, else the first good header's."""
    best = Table()
    for offset in (sector, size // sector * sector - sector):
        header = read(offset, sector) or b""
        identifier = gpt_identifier(header)
        if identifier:
            entries = gpt_entries(read, header, sector, size)
            if entries is not None:
                return Table("gpt", identifier, entries)
            best = Table("gpt", identifier) if best.kind is None else best
    return best
