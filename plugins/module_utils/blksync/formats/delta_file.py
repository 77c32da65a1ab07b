# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads and writes delta files in bounded memory: a header, then the offset and the bytes of each changed block."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Iterator

from ..errors import FileFormatError
from .base import CHUNK, FileReader, FileWriter
from .header import DELTA_MAGIC, HEADER_SIZE, Header, pack

OFFSET = struct.Struct("<Q")


class DeltaReader(FileReader):
    """An open delta file of ``length`` bytes; a context manager.

    Raises FileFormatError where its header or its length cannot be right; records() does where a record is not.
    The format has no checksum and no number of records: a file that was cut off between two records is seen only by
    who knows its length (see delta_frame).
    """

    magic = DELTA_MAGIC

    @property
    def records_total(self) -> int:
        """How many blocks it changes."""
        return -(-(self.length - HEADER_SIZE) // (OFFSET.size + self.header.block_size))

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(number of the block, its bytes) in ascending order. Raises FileFormatError."""
        header, at, last = self.header, HEADER_SIZE, -1
        while at < self.length:
            block = self._block_at(at, last)
            length = header.length_of(block)
            yield block, self._read(length, at + OFFSET.size)
            at += OFFSET.size + length
            last = block

    def fingerprint(self) -> str:
        """SHA-256 of the whole file, 64 hexadecimal digits."""
        digest: Any = hashlib.sha256()
        for at in range(0, self.length, CHUNK):
            digest.update(self._read(min(CHUNK, self.length - at), at))
        return str(digest.hexdigest())

    def _block_at(self, at: int, last: int) -> int:
        offset = int(OFFSET.unpack(self._read(OFFSET.size, at))[0])
        block, rest = divmod(offset, self.header.block_size)
        if rest or block >= self.header.blocks:
            raise FileFormatError(self.path, "the record at byte %d is for no block: offset %d" % (at, offset))
        if block <= last:
            raise FileFormatError(self.path, "the record at byte %d is out of order" % at)
        return block

    def _check(self) -> None:
        """All records have a whole block, but for one of the last block, which may be short."""
        header = self.header
        if header.algorithm:
            raise FileFormatError(self.path, "its header names a hash algorithm, which a delta has not")
        body, last = self.length - HEADER_SIZE, OFFSET.size + header.length_of(header.blocks - 1)
        rest = body % (OFFSET.size + header.block_size)
        if rest not in (0, last) or body // (OFFSET.size + header.block_size) + bool(rest) > header.blocks:
            raise FileFormatError(self.path, "%d bytes of records make no whole number of blocks" % body)


class DeltaWriter(FileWriter):
    """Writes a delta file from front to back; a context manager that removes it unless it was finished.

    Raises OSError; ValueError for records that are out of order or of a wrong length.
    """

    def __init__(self, path: str, header: Header) -> None:
        super().__init__(path, header)
        self.length = 0
        self.records_total = 0
        self._last = -1
        self._hash: Any = hashlib.sha256()
        self._write(pack(DELTA_MAGIC, header))

    def append(self, block: int, data: memoryview | bytes) -> None:
        """The bytes of the block of that number."""
        if not self._last < block < self.header.blocks or len(data) != self.header.length_of(block):
            raise ValueError("block %d of %d bytes does not come next" % (block, len(data)))
        self._write(OFFSET.pack(block * self.header.block_size))
        self._write(data)
        self._last = block
        self.records_total += 1

    def finish(self) -> str:
        """Wait until all of it is on the medium, and return its SHA-256."""
        self._keep()
        return str(self._hash.hexdigest())

    def _write(self, data: memoryview | bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.length += len(data)
