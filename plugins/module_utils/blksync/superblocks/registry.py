# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The parser of each kind of content."""

from __future__ import annotations

from typing import Callable

from ..used_blocks import luks
from ..used_blocks.errors import UnknownLayoutError
from . import btrfs, ext, fat, xfs
from .content import Content, Read

LUKS = "crypto_LUKS"
GPT = "gpt"
SWAP_PAGE = 4096  # bytes: swap is read and written in pages, which are no smaller


def parse(kind: str, read: Read) -> Content:
    """What lies on a device that blkid calls ``kind`` (its TYPE, or PTTYPE of a partition table).

    ``read`` gives its bytes. Anything that is not understood gives a Content of that kind and nothing else.
    """
    reader = _READERS.get(kind)
    return (reader(kind, read) if reader else None) or Content(kind)


def _luks(kind: str, read: Read) -> Content | None:
    """Sectors of the encryption and the place of the payload: both have to suit the device's sectors."""

    def read_all(offset: int, length: int) -> bytes:
        data = read(offset, length)
        if data is None:
            raise UnknownLayoutError("luks_header_invalid", "its LUKS header cannot be read")
        return data

    try:
        header = luks.parse_header(read_all)
    except UnknownLayoutError:
        return None
    return Content(kind, unit=min(header.sector, header.payload & -header.payload))


def _gpt(kind: str, read: Read) -> Content | None:
    """Its header lies in the second sector, whatever the size of that (UEFI specification 2.10, 5.3.2)."""
    for sector in (512, 4096):
        header = read(sector, sector)
        if header is not None and header[:8] == b"EFI PART":
            return Content(kind, unit=sector, exact=True)
    return None


def _swap(kind: str, read: Read) -> Content | None:
    return Content(kind, unit=SWAP_PAGE)


def _journal(kind: str, read: Read) -> Content | None:
    return Content(kind, elsewhere="is the log of a file system on another device")


_READERS: dict[str, Callable[[str, Read], Content | None]] = {
    "ext2": ext.parse,
    "ext3": ext.parse,
    "ext4": ext.parse,
    "ext4dev": ext.parse,
    "jbd": ext.parse,
    "xfs": xfs.parse,
    "xfs_external_log": _journal,
    "btrfs": btrfs.parse,
    "vfat": fat.parse_vfat,
    "msdos": fat.parse_vfat,
    "exfat": fat.parse_exfat,
    "ntfs": fat.parse_ntfs,
    LUKS: _luks,
    GPT: _gpt,
    "swap": _swap,
}
KNOWN = frozenset(_READERS)
