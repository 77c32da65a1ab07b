# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Superblocks that the real mkfs made, those with recorded errors, and bytes of any kind."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.superblocks import btrfs, registry
from blksync.superblocks.content import Content
from tests.support import image_file
from tests.support.image_file import Image

MIB = 1024 * 1024


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_file.maker(tmp_path)


def parsed(kind: str, path: Path) -> Content:
    with open(path, "rb") as file:

        def read(offset: int, length: int) -> bytes | None:
            data = os.pread(file.fileno(), length, offset)
            return data if len(data) == length else None

        return registry.parse(kind, read)


def patched(path: Path, offset: int, data: bytes) -> Path:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


@pytest.mark.needs("mkfs.ext4")
@pytest.mark.parametrize("block", [1024, 4096])
def test_a_new_ext4_has_no_errors_and_the_unit_of_its_blocks(image: Image, block: int) -> None:
    found = parsed("ext4", image(8 * MIB, "mkfs.ext4", "-q", "-b", str(block)))
    assert (found.unit, found.damage, found.elsewhere) == (block, (), "")


@pytest.mark.needs("mkfs.ext4", "debugfs", "e2fsck")
def test_errors_of_ext4_as_debugfs_sets_and_e2fsck_clears_them(image: Image) -> None:
    path = image(8 * MIB, "mkfs.ext4", "-q")
    values = ("state 3", "error_count 7", "last_error_time 20261125010203", "last_error_func ext4_lookup")
    for value in values:
        subprocess.run(
            ["debugfs", "-w", "-R", "set_super_value %s" % value, str(path)], check=True, capture_output=True
        )
    assert parsed("ext4", path).damage == (
        "its superblock is marked as having errors",
        "its superblock counts 7, the last at 2026-11-25 01:02:03 UTC in ext4_lookup",
    )
    subprocess.run(["e2fsck", "-fy", str(path)], check=True, capture_output=True)
    assert parsed("ext4", path).damage == ()


@pytest.mark.needs("mkfs.ext4")
def test_an_external_journal_and_what_it_belongs_to(image: Image) -> None:
    """mkfs puts a file system to its journal on devices only, so its features are set here."""
    path = image(8 * MIB, "mkfs.ext4", "-q", "-O", "journal_dev", "-b", "4096")
    assert "journal of a file system" in parsed("jbd", path).elsewhere
    path = image(8 * MIB, "mkfs.ext4", "-q")
    journal = "11223344-5566-7788-99aa-bbccddeeff00"
    patched(path, 1024 + 0xD0, bytes.fromhex(journal.replace("-", "")))
    assert parsed("ext4", path).elsewhere == ""
    patched(path, 1024 + 0xE0, bytes(4))
    assert parsed("ext4", path).elsewhere == "has its journal (UUID %s) on another device" % journal
    without = image(8 * MIB, "mkfs.ext4", "-q", "-O", "^has_journal")
    assert parsed("ext4", without).elsewhere == ""


@pytest.mark.needs("mkfs.xfs")
@pytest.mark.parametrize("sector", [512, 4096])
def test_xfs(image: Image, sector: int) -> None:
    path = image(320 * MIB, "mkfs.xfs", "-q", "-s", "size=%d" % sector)
    found = parsed("xfs", path)
    assert (found.unit, found.damage, found.elsewhere) == (sector, (), "")
    with open(path, "rb") as file:
        (features,) = struct.unpack(">I", os.pread(file.fileno(), 4, 216))
    patched(path, 216, struct.pack(">I", features | 1 << 4))
    assert parsed("xfs", path).damage == ("it is marked as in need of repair",)
    patched(path, 126, b"\1")
    assert "mkfs.xfs did not finish it" in parsed("xfs", path).damage
    patched(path, 16, struct.pack(">Q", 1000))
    assert parsed("xfs", path).elsewhere == "has its realtime section on another device"
    patched(path, 216, struct.pack(">I", features | 1 << 9))
    patched(path, 288, struct.pack(">Q", 5000))
    assert parsed("xfs", path).elsewhere == ""  # a zoned one with its realtime section behind its data
    patched(path, 48, bytes(8))
    assert parsed("xfs", path).elsewhere == "has its log on another device"


@pytest.mark.needs("mkfs.btrfs")
def test_btrfs(image: Image) -> None:
    path = image(128 * MIB, "mkfs.btrfs", "-q", "-U", "11223344-5566-7788-99aa-bbccddeeff00")
    found = parsed("btrfs", path)
    assert (found.unit, found.damage, found.elsewhere) == (4096, (), "")
    assert found.uuid == "11223344-5566-7788-99aa-bbccddeeff00"
    patched(path, 65536 + 0x38, struct.pack("<Q", 1 << 2 | 1))
    assert parsed("btrfs", path).damage == ("its superblock is marked as having errors",)
    patched(path, 65536 + 0x88, struct.pack("<Q", 3))
    assert parsed("btrfs", path).elsewhere == "lies on 3 devices"


def test_error_counters_of_btrfs() -> None:
    zero = "write_errs 0\nread_errs 0\nflush_errs 0\ncorruption_errs 0\ngeneration_errs 0\n"
    assert btrfs.parse_stats(zero) == ""
    assert btrfs.parse_stats(zero.replace("read_errs 0", "read_errs 12")) == "read_errs 12"
    assert btrfs.parse_stats("invalid\n") == ""


FATS = {12: (4 * MIB, 0x25), 16: (16 * MIB, 0x25), 32: (64 * MIB, 0x41)}  # size and the place of the state


@pytest.mark.needs("mkfs.vfat")
@pytest.mark.parametrize("bits", FATS)
def test_the_state_of_a_fat(image: Image, bits: int) -> None:
    size, place = FATS[bits]
    path = image(size, "mkfs.vfat", "-F", str(bits))
    found = parsed("vfat", path)
    assert (found.unit, found.damage, found.unclean) == (512, (), False)
    patched(path, place, b"\1")  # as Linux does when it mounts it
    assert (parsed("vfat", path).damage, parsed("vfat", path).unclean) == ((), True)
    patched(path, place, b"\2")
    assert parsed("vfat", path).damage == ("its boot sector is marked as having errors",)
    patched(path, place + 1, b"\0")  # without its signature this byte is something else
    assert parsed("vfat", path).damage == ()


@pytest.mark.needs("mkfs.vfat")
@pytest.mark.parametrize("bits", [16, 32])
def test_the_flags_in_the_table_of_a_fat(image: Image, bits: int) -> None:
    path = image(FATS[bits][0], "mkfs.vfat", "-F", str(bits))
    with open(path, "rb") as file:
        (reserved,) = struct.unpack("<H", os.pread(file.fileno(), 2, 14))
    top, place = (0x0FFFFFFF, reserved * 512 + 4) if bits == 32 else (0xFFFF, reserved * 512 + 2)
    form, high = ("<I", 0x08000000) if bits == 32 else ("<H", 0x8000)
    patched(path, place, struct.pack(form, top & ~high))
    assert (parsed("vfat", path).damage, parsed("vfat", path).unclean) == ((), True)
    patched(path, place, struct.pack(form, top & ~(high >> 1)))
    assert parsed("vfat", path).damage == ("its table is marked as having met read or write errors",)
    patched(path, place, struct.pack(form, 0))  # no second entry of a FAT at all
    assert (parsed("vfat", path).damage, parsed("vfat", path).unclean) == ((), False)


@pytest.mark.needs("mkfs.vfat")
@pytest.mark.parametrize("sector", [512, 1024, 4096])
def test_the_sectors_of_a_fat(image: Image, sector: int) -> None:
    assert parsed("vfat", image(64 * MIB, "mkfs.vfat", "-S", str(sector))).unit == sector


def test_exfat_and_ntfs() -> None:
    exfat = bytearray(512)
    exfat[3:11], exfat[108] = b"EXFAT   ", 12
    assert registry.parse("exfat", reading(exfat)) == Content(
        "exfat", unit=4096, repair="fsck.exfat %s, while it is not mounted"
    )
    exfat[106] = 0x6
    found = registry.parse("exfat", reading(exfat))
    assert found.unclean
    assert found.damage == ("its boot sector is marked as having met a failure of the medium",)
    ntfs = bytearray(512)
    ntfs[3:11], ntfs[11:13] = b"NTFS    ", struct.pack("<H", 512)
    assert registry.parse("ntfs", reading(ntfs)).unit == 512


@pytest.mark.needs("cryptsetup")
@pytest.mark.parametrize(("version", "sector"), [("luks1", 512), ("luks2", 512), ("luks2", 4096)])
def test_luks_has_the_sectors_of_its_encryption(image: Image, version: str, sector: int) -> None:
    kind = ["--sector-size", str(sector), "--pbkdf", "pbkdf2"] if version == "luks2" else []
    path = image(32 * MIB, "truncate", "-s", "32M")
    argv = ["cryptsetup", "luksFormat", "-q", "--type", version, *kind, "--pbkdf-force-iterations", "1000"]
    subprocess.run([*argv, str(path), "-"], input=b"secret", check=True, capture_output=True)
    assert parsed("crypto_LUKS", path).unit == sector


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_gpt_needs_sectors_of_its_own_size(sector: int) -> None:
    content = bytes(sector) + b"EFI PART".ljust(sector, b"\0") + bytes(8192)
    assert registry.parse("gpt", reading(content)) == Content("gpt", unit=sector, exact=True)


def test_kinds_without_a_parser_are_only_named() -> None:
    assert registry.parse("f2fs", reading(bytes(8192))) == Content("f2fs")
    assert registry.parse("", reading(b"")) == Content("")
    assert registry.parse("swap", reading(b"")).unit == 4096
    assert "another device" in registry.parse("xfs_external_log", reading(b"")).elsewhere


def reading(content: bytes | bytearray) -> Callable[[int, int], bytes | None]:
    """Reads past the end fail, as those of an unreadable sector do."""

    def read(offset: int, length: int) -> bytes | None:
        return bytes(content[offset : offset + length]) if offset + length <= len(content) else None

    return read


MAGICS = {
    "ext4": (1024 + 0x38, b"\x53\xef"),
    "jbd": (1024 + 0x38, b"\x53\xef"),
    "xfs": (0, b"XFSB"),
    "btrfs": (65536 + 0x40, b"_BHRfS_M"),
    "vfat": (11, b"\0\2\1\1\0\2"),
    "exfat": (3, b"EXFAT   "),
    "ntfs": (3, b"NTFS    "),
    "crypto_LUKS": (0, b"LUKS\xba\xbe\0\2"),
    "gpt": (512, b"EFI PART"),
}


@given(
    st.sampled_from(sorted(registry.KNOWN)),
    st.binary(max_size=2048),
    st.sampled_from([0, 1024, 65536]),
    st.integers(0, 72000),
    st.booleans(),
)
def test_arbitrary_bytes_crash_no_parser(kind: str, noise: bytes, place: int, length: int, magic: bool) -> None:
    content = bytearray(72000)
    content[place : place + len(noise)] = noise
    if magic and kind in MAGICS:
        offset, text = MAGICS[kind]
        content[offset : offset + len(text)] = text
    found = registry.parse(kind, reading(content[:length]))
    assert found.kind == kind
    assert found.unit == 0 or found.unit >= 512
