# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of file systems that the real mkfs made. What mounting changes is in tests/integration/test_signature."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blksync.records import signature
from tests.support import image_file
from tests.support.image_file import Image

MIB = 1024 * 1024


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_file.maker(tmp_path)


def taken(path: Path) -> str | None:
    with open(path, "rb") as file:

        def read(offset: int, length: int) -> bytes | None:
            assert offset % 4096 == 0
            return os.pread(file.fileno(), length, offset)

        return signature.take(read, path.stat().st_size)


def write(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize(
    ("size", "places"),
    [(4096, [0, 4095]), (512, [0, 511]), (8 * MIB, [0, 1024, 65536, 135167])],
)
def test_each_byte_of_the_beginning_counts(tmp_path: Path, size: int, places: list[int]) -> None:
    path = tmp_path / "partition"
    path.write_bytes(bytes(size))
    before = taken(path)
    for place in places:
        write(path, place, b"x")
        assert taken(path) != before, place
        write(path, place, b"\0")
    assert taken(path) == before


def test_what_lies_behind_may_change(tmp_path: Path) -> None:
    path = tmp_path / "partition"
    path.write_bytes(bytes(8 * MIB))
    before = taken(path)
    write(path, signature.BEGINNING, b"x")
    assert taken(path) == before


@pytest.mark.needs("mkfs.vfat")
@pytest.mark.parametrize("bits", ["16", "32"])
def test_each_byte_of_the_tables_of_fat_counts(image: Image, bits: str) -> None:
    path = image(260 * MIB, "mkfs.vfat", "-F", bits, "-s", "1" if bits == "32" else "16")
    boot = path.read_bytes()[:512]
    sectors = int.from_bytes(boot[22:24], "little") or int.from_bytes(boot[36:40], "little")
    end = (int.from_bytes(boot[14:16], "little") + boot[16] * sectors) * 512
    before = taken(path)
    write(path, end - 1, b"\x01")
    assert taken(path) != before


@pytest.mark.needs("cryptsetup")
@pytest.mark.parametrize("version", ["luks1", "luks2"])
def test_beginning_of_the_payload_of_luks_counts(image: Image, version: str) -> None:
    path = image(
        24 * MIB,
        *("cryptsetup", "luksFormat", "--batch-mode", "--type", version, "--key-file", __file__),
        *("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"),
    )
    payload = 16 * MIB if version == "luks2" else int.from_bytes(path.read_bytes()[104:108], "big") * 512
    before = taken(path)
    write(path, payload + 1024, b"x")
    assert taken(path) != before


def test_unreadable_partition_has_no_signature() -> None:
    assert signature.take(lambda _offset, _length: None, 8 * MIB) is None


def test_short_read_is_an_unreadable_partition() -> None:
    assert signature.take(lambda _offset, length: bytes(length - 1), 8 * MIB) is None


def test_luks_header_that_reaches_past_the_end_is_no_error() -> None:
    header = b"LUKS\xba\xbe\0\2" + (1 << 20).to_bytes(8, "big")
    assert signature.take(lambda offset, length: (header + bytes(8192))[offset : offset + length], 8192)
