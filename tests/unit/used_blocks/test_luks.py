# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the payload of a LUKS partition begins, from headers that cryptsetup 2.6.1 made and by damaged ones."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.used_blocks.errors import UnknownLayoutError
from blksync.used_blocks.luks import Header, Mapping, parse_header, payload_offset

MIB = 1024 * 1024
UUID = "0b6e52f4-97a1-4b52-9d6f-3a4c1c0d7e11"
AREA = 16384
SIZE = 64 * MIB
PAYLOAD = {1: 2 * MIB, 2: 16 * MIB}
SECTORS = {1: 512, 2: 4096}
HEADERS = {
    version: (Path(__file__).parent / "headers" / ("luks%d.bin" % version)).read_bytes().ljust(AREA, b"\0")
    for version in (1, 2)
}


def reading(content: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: content[offset : offset + length].ljust(length, b"\0")


def mapping(version: int, size: int | None = None, kind: str = "LUKS%d") -> Mapping:
    uuid = "CRYPT-%s-%s-root" % (kind % version if "%" in kind else kind, UUID.replace("-", ""))
    return Mapping(uuid, SIZE - PAYLOAD[version] if size is None else size)


def luks2(change: Callable[[dict[str, Any]], object] = lambda metadata: None, text: bytes | None = None) -> bytes:
    """The golden header with other metadata, and the checksum that belongs to it."""
    binary, area = bytearray(HEADERS[2][:4096]), HEADERS[2][4096:]
    metadata = json.loads(area.partition(b"\0")[0])
    change(metadata)
    area = (json.dumps(metadata).encode() if text is None else text).ljust(AREA - 4096, b"\0")
    return signed(bytes(binary) + area)


def signed(header: bytes) -> bytes:
    cleared = header[:448] + bytes(64) + header[512:]
    return header[:448] + hashlib.sha256(cleared).digest().ljust(64, b"\0") + header[512:]


@pytest.mark.parametrize("version", [1, 2])
def test_headers_of_cryptsetup(version: int) -> None:
    read = reading(HEADERS[version])
    assert parse_header(read) == Header(version, UUID, PAYLOAD[version], SECTORS[version])
    assert payload_offset(read, mapping(version), SIZE) == PAYLOAD[version]


@pytest.mark.parametrize("version", [1, 2])
def test_a_mapping_that_does_not_fit(version: int) -> None:
    read = reading(HEADERS[version])
    for size in (SIZE - PAYLOAD[version] - 512, SIZE, 0):
        with pytest.raises(UnknownLayoutError, match="does not fill"):
            payload_offset(read, mapping(version, size), SIZE)
    for kind in ("LUKS%d" % (3 - version), "PLAIN", "TCRYPT", "INTEGRITY"):
        with pytest.raises(UnknownLayoutError, match="not that of the open mapping"):
            payload_offset(read, mapping(version, kind=kind), SIZE)
    other = mapping(version).uuid.replace("0b6e", "0b6f")
    with pytest.raises(UnknownLayoutError, match="not that of the open mapping"):
        payload_offset(read, Mapping(other, SIZE - PAYLOAD[version]), SIZE)


@pytest.mark.parametrize("sectors", [0, 1])
def test_luks1_with_an_impossible_payload(sectors: int) -> None:
    """0 is what the header of a partition whose header lies elsewhere says."""
    header = HEADERS[1][:104] + struct.pack(">I", sectors) + HEADERS[1][108:]
    with pytest.raises(UnknownLayoutError, match="impossible"):
        parse_header(reading(header))


def segment(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda metadata: metadata["segments"]["0"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        segment(type="linear"),
        segment(type="hw-opal-crypt"),
        segment(size="1048576"),
        segment(integrity={"type": "hmac(sha256)"}),
        segment(flags=["in-reencryption"]),
        segment(offset="0"),
        segment(offset="16777217"),
        segment(offset="-16777216"),
        segment(offset=16777216),
        segment(offset="1e7"),
        segment(offset=None),
        segment(sector_size=0),
        segment(sector_size=True),
        segment(sector_size="512"),
        segment(sector_size=8192),
        lambda metadata: metadata["segments"].update({"1": metadata["segments"]["0"]}),
        lambda metadata: metadata["segments"].clear(),
        lambda metadata: metadata.update(segments=[]),
        lambda metadata: metadata.pop("segments"),
        lambda metadata: metadata.pop("config"),
        lambda metadata: metadata["config"].update(requirements={"mandatory": ["online-reencrypt-v2"]}),
        lambda metadata: metadata["config"].update(requirements={"mandatory": ["something new"]}),
        lambda metadata: metadata["config"].update(requirements=["something new"]),
    ],
)
def test_luks2_metadata_of_another_shape(change: Callable[[dict[str, Any]], object]) -> None:
    assert parse_header(reading(luks2())).payload == PAYLOAD[2]
    with pytest.raises(UnknownLayoutError):
        parse_header(reading(luks2(change)))


@pytest.mark.parametrize("text", [b"", b"null", b"{", b"\xff", b"[" * 9000, b'{"segments": {"0": 1}, "config": 2}'])
def test_luks2_metadata_that_are_none(text: bytes) -> None:
    with pytest.raises(UnknownLayoutError):
        parse_header(reading(luks2(text=text)))


@pytest.mark.parametrize("length", [0, 4096, 16385, 8 * MIB, 2**64 - 4096])
def test_luks2_lengths_that_are_not_read(length: int) -> None:
    header = signed(HEADERS[2][:8] + struct.pack(">Q", length) + HEADERS[2][16:])
    with pytest.raises(UnknownLayoutError, match="damaged"):
        parse_header(reading(header))


def test_the_second_header_is_not_the_first() -> None:
    header = signed(HEADERS[2][:256] + struct.pack(">Q", AREA) + HEADERS[2][264:])
    with pytest.raises(UnknownLayoutError, match="damaged"):
        parse_header(reading(header))


@given(st.integers(0, AREA - 1), st.integers(1, 255))
def test_a_damaged_luks2_header_is_noticed(place: int, change: int) -> None:
    damaged = bytearray(HEADERS[2])
    damaged[place] ^= change
    if 480 <= place < 512:  # what a shorter checksum leaves of its field
        assert parse_header(reading(bytes(damaged))).payload == PAYLOAD[2]
        return
    with pytest.raises(UnknownLayoutError):
        parse_header(reading(bytes(damaged)))


@given(st.binary(max_size=600), st.sampled_from([b"", b"LUKS\xba\xbe\x00\x01", b"LUKS\xba\xbe\x00\x02"]))
def test_rubbish_raises_nothing_else(rubbish: bytes, magic: bytes) -> None:
    try:
        header = parse_header(reading(magic + rubbish))
    except UnknownLayoutError:
        return
    assert header.version == 1


@pytest.mark.parametrize(("content", "reason"), [(bytes(AREA), "no LUKS header"), (b"LUKS\xba\xbe\0\3", "version 3")])
def test_other_headers(content: bytes, reason: str) -> None:
    with pytest.raises(UnknownLayoutError, match=reason):
        parse_header(reading(content))
