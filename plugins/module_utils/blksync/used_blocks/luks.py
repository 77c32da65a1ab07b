# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the offset of the payload on a LUKS partition, from the header alone, without keys and programs.

Facts: "LUKS On-Disk Format Specification" 1.2.3 (figure 1) and "LUKS2 On-Disk Format Specification" 1.1.2 (chapters
2 and 3); names of mappings: lib/libdevmapper.c of cryptsetup. All numbers are big-endian.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any, Callable

from .errors import UnknownLayoutError

FIRST = 4096  # bytes: the binary header of LUKS2, and more than that of LUKS1
LUKS1_HEADER = 592  # bytes
SECTOR = 512
SECTORS = (512, 1024, 2048, 4096)  # bytes: what LUKS2 may encrypt at a time
MAGIC = b"LUKS\xba\xbe"
LARGEST_HEADER = 4 * 1024 * 1024  # bytes

_LUKS1 = struct.Struct(">6sH96xI60x40s")  # magic, version, payloadOffset (sectors), uuid
_LUKS2 = struct.Struct(">6sHQ56x32s64x40s48xQ")  # magic, version, hdr_size, csum_alg, uuid, hdr_offset
_CHECKSUM = slice(448, 512)  # of LUKS2's header

Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Header:
    """``version`` is 1 or 2, ``payload`` the bytes before the payload, ``uuid`` as in the header, with its dashes.

    ``sector`` is the unit of the encryption in bytes.
    """

    version: int
    uuid: str
    payload: int
    sector: int = SECTOR


@dataclass(frozen=True)
class Mapping:
    """An open dm-crypt mapping: the device mapper's own ``uuid``, and its ``size`` in bytes."""

    uuid: str
    size: int


def payload_offset(read: Read, mapping: Mapping, size: int) -> int:
    """Where on a partition of ``size`` bytes the mapping's byte 0 lies.

    ``read`` gives the partition's bytes at an offset. Raises UnknownLayoutError for a header that is not understood,
    and if it does not belong to the mapping or the two do not fill the partition.
    """
    header = parse_header(read)
    if not mapping.uuid.startswith("CRYPT-LUKS%d-%s-" % (header.version, header.uuid.replace("-", ""))):
        raise UnknownLayoutError("luks_mapping_differs", "its LUKS header is not that of the open mapping")
    if header.payload + mapping.size != size:
        raise UnknownLayoutError("luks_mapping_differs", "the open LUKS mapping does not fill it")
    return header.payload


def parse_header(read: Read) -> Header:
    """The header at the beginning of what ``read`` reads. Raises UnknownLayoutError unless it is understood in full."""
    first = read(0, FIRST)
    magic, version = struct.unpack_from(">6sH", first)
    if magic != MAGIC:
        raise UnknownLayoutError("luks_header_invalid", "it has no LUKS header")
    if version == 1:
        return _luks1(first)
    if version == 2:
        return _luks2(first, read)
    raise UnknownLayoutError("luks_header_unsupported", "its LUKS header has the unknown version %d" % version)


def _luks1(first: bytes) -> Header:
    _magic, version, sectors, uuid = _LUKS1.unpack_from(first)
    return Header(version, _text(uuid), _checked(sectors * SECTOR, LUKS1_HEADER))


def _luks2(first: bytes, read: Read) -> Header:
    _magic, version, length, algorithm, uuid, offset = _LUKS2.unpack_from(first)
    if offset or length % FIRST or not FIRST < length <= LARGEST_HEADER:
        raise UnknownLayoutError("luks_header_invalid", "its LUKS header is damaged")
    area = read(0, length)
    _verify(area, _text(algorithm))
    try:
        metadata = json.loads(area[FIRST:].partition(b"\0")[0].decode())
        payload, sector = _only_segment(metadata)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # JSON of another shape
        raise UnknownLayoutError("luks_header_invalid", "its LUKS header cannot be understood") from error
    return Header(version, _text(uuid), _checked(payload, 2 * length), sector)


def _verify(area: bytes, algorithm: str) -> None:
    if algorithm not in ("sha256", "sha512"):
        raise UnknownLayoutError("luks_header_unsupported", "its LUKS header has a checksum of an unknown kind")
    cleared = bytearray(area)
    cleared[_CHECKSUM] = bytes(_CHECKSUM.stop - _CHECKSUM.start)
    digest = hashlib.new(algorithm, cleared).digest()
    if area[_CHECKSUM][: len(digest)] != digest:
        raise UnknownLayoutError("luks_header_invalid", "its LUKS header is damaged")


def _only_segment(metadata: dict[str, Any]) -> tuple[int, int]:
    """The offset and the sectors in bytes of a plain encrypted payload that goes on to the end of the partition."""
    if metadata["config"].get("requirements", {}).get("mandatory"):
        raise UnknownLayoutError(
            "luks_header_unsupported",
            "its LUKS header says that it is being encrypted anew, or needs something unknown",
        )
    (segment,) = metadata["segments"].values()  # ValueError where there are several
    if segment["type"] != "crypt" or segment.get("integrity") or segment.get("flags") or segment["size"] != "dynamic":
        raise UnknownLayoutError(
            "luks_header_unsupported", "its LUKS header describes more than one plain encrypted segment"
        )
    if not isinstance(segment["offset"], str):
        raise TypeError(segment["offset"])
    sector = segment["sector_size"]
    if isinstance(sector, bool) or not isinstance(sector, int) or sector not in SECTORS:
        raise ValueError(sector)
    return int(segment["offset"]), sector


def _checked(payload: int, header: int) -> int:
    if payload < header or payload % SECTOR:
        raise UnknownLayoutError("luks_header_invalid", "its LUKS header names an impossible payload")
    return payload


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii", "replace")
