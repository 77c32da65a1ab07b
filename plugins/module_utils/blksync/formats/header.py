# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The header of digest and delta files: 512 bytes, little-endian (globals.h of blocksync-fast 1.0.7).

16 bytes of magic and 8 of version, both padded with zeros, then five unsigned integers of 64 bits: data size, block
size, number of blocks, Unix time, number of the hash algorithm (0 in a delta); zeros to the end.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from ..errors import FileFormatError

HEADER_SIZE = 512  # bytes
DIGEST_MAGIC = b"!BSF#DIG"
DELTA_MAGIC = b"!BSF#DELTA"
VERSION = "1.07"
LARGEST_BLOCK = 16 * 1024 * 1024  # bytes: several are held in memory
LARGEST_DATA = (1 << 63) - 1  # bytes: what a file offset can be

_FIELDS = struct.Struct("<16s8s5Q")
_VERSION = re.compile(rb"[0-9]+(\.[0-9]+)*\Z")


@dataclass(frozen=True)
class Header:
    """What a file says of itself. Sizes are bytes; ``algorithm`` is a number (see algorithms), 0 in a delta."""

    data_size: int
    block_size: int
    timestamp: int
    algorithm: int = 0
    version: str = VERSION

    @property
    def blocks(self) -> int:
        """How many blocks the data has; the last may be short."""
        return -(-self.data_size // self.block_size)

    def length_of(self, block: int) -> int:
        """The length in bytes of the block of that number."""
        return min(self.block_size, self.data_size - block * self.block_size)


def pack(magic: bytes, header: Header) -> bytes:
    """The header's 512 bytes."""
    return _FIELDS.pack(
        magic,
        header.version.encode("ascii"),
        header.data_size,
        header.block_size,
        header.blocks,
        header.timestamp,
        header.algorithm,
    ).ljust(HEADER_SIZE, b"\0")


def parse(magic: bytes, data: bytes, path: str) -> Header:
    """The header in a file's first bytes; ``path`` is for messages. Raises FileFormatError unless every field fits."""
    if len(data) < HEADER_SIZE:
        raise FileFormatError(path, "it has %d bytes, less than a header" % len(data))
    name, version, data_size, block_size, blocks, timestamp, algorithm = _FIELDS.unpack_from(data)
    if name != magic.ljust(16, b"\0"):
        raise FileFormatError(path, "it does not begin with %s" % magic.decode("ascii"))
    text = version.rstrip(b"\0")
    if not _VERSION.match(text):
        raise FileFormatError(path, "%r is no version" % version)
    if not 1 <= block_size <= LARGEST_BLOCK:
        raise FileFormatError(path, "its block size is %d, not from 1 to %d" % (block_size, LARGEST_BLOCK))
    if not 1 <= data_size <= LARGEST_DATA:
        raise FileFormatError(path, "its data size is %d, not from 1 to %d" % (data_size, LARGEST_DATA))
    header = Header(data_size, block_size, timestamp, algorithm, text.decode("ascii"))
    if blocks != header.blocks:
        raise FileFormatError(path, "it claims %d blocks where the sizes make %d" % (blocks, header.blocks))
    if any(data[_FIELDS.size : HEADER_SIZE]):
        raise FileFormatError(path, "its header does not end in zeros")
    return header
