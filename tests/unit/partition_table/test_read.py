# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition table's own word: MBR signatures, GPT headers, and what only looks like them."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest

from blksync.partition_table.gpt import gpt_identifier
from blksync.partition_table.read import Table, read_table

GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
SIZE = 64 * 1024 * 1024


def mbr(signature: int = 0x11111111, kind: int = 0x83, flag: int = 0) -> bytearray:
    sector = bytearray(512)
    struct.pack_into("<I", sector, 440, signature)
    struct.pack_into("<BxxxBxxxII", sector, 446, flag, kind, 2048, 4096)
    sector[510:512] = b"\x55\xaa"
    return sector


def gpt(guid: str = GUID) -> bytes:
    header = bytearray(92)
    struct.pack_into("<8sIII", header, 0, b"EFI PART", 0x10000, 92, 0)
    header[56:72] = uuid.UUID(guid).bytes_le
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    return bytes(header)


def table(*parts: tuple[int, bytes], sector: int = 512, size: int = SIZE) -> tuple[str | None, str | None]:
    """The table of a disk that is zero but for some parts."""

    def read(offset: int, length: int) -> bytes:
        assert offset % sector == length % sector == 0
        assert offset + length <= size
        found = bytearray(length)
        for at, content in parts:
            if offset <= at < offset + length:
                found[at - offset : at - offset + len(content)] = content
        return bytes(found)

    found = read_table(read, sector, size)
    return found.kind, found.identifier


def test_mbr_signature_is_lower_case_hexadecimal_with_leading_zeros() -> None:
    assert table((0, mbr(0x01ABCDEF))) == ("dos", "01abcdef")


def test_mbr_without_a_signature_has_no_identifier() -> None:
    assert table((0, mbr(0))) == ("dos", None)


@pytest.mark.parametrize("sector", [512, 4096])
def test_gpt(sector: int) -> None:
    assert table((0, mbr(0, 0xEE)), (sector, gpt()), sector=sector) == ("gpt", GUID)


@pytest.mark.parametrize("sector", [512, 4096])
def test_second_gpt_header_where_the_first_is_damaged(sector: int) -> None:
    broken = gpt()[:60] + b"\xff" + gpt()[61:]
    assert table((0, mbr(0, 0xEE)), (sector, broken), (SIZE - sector, gpt()), sector=sector) == ("gpt", GUID)


def test_a_protective_mbr_alone_is_no_table() -> None:
    assert table((0, mbr(0x11111111, 0xEE))) == (None, None)


def test_an_old_gpt_header_under_a_new_mbr_counts_for_nothing() -> None:
    assert table((0, mbr()), (512, gpt())) == ("dos", "11111111")


def test_gpt_partitions_beside_the_protective_entry() -> None:
    hybrid = mbr(0x22222222)
    struct.pack_into("<BxxxBxxxII", hybrid, 462, 0, 0xEE, 1, 2047)
    assert table((0, hybrid), (512, gpt())) == ("gpt", GUID)


@pytest.mark.parametrize(("at", "name"), [(3, b"NTFS    "), (3, b"EXFAT   "), (54, b"FAT16   "), (82, b"FAT32   ")])
def test_boot_sector_of_a_file_system_is_no_table(at: int, name: bytes) -> None:
    sector = mbr()
    sector[at : at + len(name)] = name
    assert table((0, sector)) == (None, None)


def test_boot_code_where_the_entries_would_be_is_no_table() -> None:
    assert table((0, mbr(flag=0x7F))) == (None, None)


def first_sector(content: bytes) -> Table:
    return read_table(lambda offset, length: content if offset == 0 else bytes(length), 512, SIZE)


def test_a_table_that_was_wiped_has_no_partitions() -> None:
    for table_sector in (mbr(), mbr(0, 0xEE)):
        table_sector[510:512] = bytes(2)  # as wipefs does it
        assert first_sector(bytes(table_sector)) == Table(entries=())
    assert first_sector(bytes(512)) == Table(entries=())


@pytest.mark.parametrize(
    "content",
    [
        b"ER\x02\x00".ljust(512, b"\0"),  # an Apple partition map
        bytes(508) + b"\xda\xbe\x12\x34",  # a Sun label
        b"LUKS\xba\xbe".ljust(512, b"\0"),
    ],
)
def test_of_other_tables_nothing_is_known(content: bytes) -> None:
    assert first_sector(content) == Table()


def test_nothing_there_and_nothing_readable() -> None:
    assert table() == (None, None)
    assert read_table(lambda offset, length: None, 512, SIZE) == Table()


def test_gpt_header_with_an_impossible_length_is_none() -> None:
    for length in (0, 91, 513, 0xFFFFFFFF):
        header = bytearray(gpt().ljust(512, b"\0"))
        struct.pack_into("<I", header, 12, length)
        assert gpt_identifier(bytes(header)) is None
    assert gpt_identifier(b"EFI PART") is None
