# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads and writes digest files in bounded memory: a header, then the checksum of each block in order."""

from __future__ import annotations

import hashlib
import os
import struct
from typing import Any, Iterator

from ..errors import FileFormatError
from . import algorithms
from .algorithms import Algorithm
from .base import CHUNK, FileReader, FileWriter
from .header import DIGEST_MAGIC, HEADER_SIZE, Header, pack


class ContentHash:
    """What identifies the content of an image: a hash of its geometry, its algorithm and all checksums in order.

    Two digests have the same one exactly if they describe the same content.
    """

    def __init__(self, data_size: int, block_size: int, algorithm: Algorithm) -> None:
        prefix = struct.pack("<3Q", data_size, block_size, algorithm.number)
        self._hash: Any = hashlib.sha256(b"blksync content\0" + prefix)

    def update(self, checksums: bytes | bytearray) -> None:
        """The next checksums."""
        self._hash.update(checksums)

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return str(self._hash.hexdigest())


class DigestReader(FileReader):
    """An open digest file; a context manager. Raises FileFormatError or AlgorithmError if it is not whole."""

    magic = DIGEST_MAGIC

    def _check(self) -> None:
        self.algorithm = algorithms.by_number(self.header.algorithm)
        expected = HEADER_SIZE + self.header.blocks * self.algorithm.size
        if self.length != expected:
            raise FileFormatError(self.path, "it has %d bytes where its header asks for %d" % (self.length, expected))

    def checksums(self, first: int, count: int) -> bytes:
        """The checksums of ``count`` blocks from block ``first`` on. Raises FileFormatError."""
        size = self.algorithm.size
        return self._read(count * size, HEADER_SIZE + first * size)

    def chunks(self) -> Iterator[bytes]:
        """All checksums in order, in parts of about CHUNK bytes."""
        step = max(1, CHUNK // self.algorithm.size)
        for first in range(0, self.header.blocks, step):
            yield self.checksums(first, min(step, self.header.blocks - first))

    def content(self) -> str:
        """The ContentHash of what the digest speaks of; reads all of it."""
        content = ContentHash(self.header.data_size, self.header.block_size, self.algorithm)
        for chunk in self.chunks():
            content.update(chunk)
        return content.hexdigest()


class DigestWriter(FileWriter):
    """Writes a digest file from front to back; a context manager that removes it unless it was finished.

    The room that it takes is allocated at the beginning. Raises OSError.
    """

    def __init__(self, path: str, header: Header, algorithm: Algorithm) -> None:
        super().__init__(path, header)
        self.algorithm = algorithm
        self._content = ContentHash(header.data_size, header.block_size, algorithm)
        self._missing = header.blocks * algorithm.size
        try:
            os.posix_fallocate(self._file.fileno(), 0, HEADER_SIZE + self._missing)
            self._file.write(pack(DIGEST_MAGIC, header))
        except BaseException:
            self.close()
            raise

    def append(self, checksums: bytes) -> None:
        """The checksums of the next blocks. Raises ValueError for more than there are blocks."""
        if len(checksums) > self._missing:
            raise ValueError("more checksums than blocks")
        self._missing -= len(checksums)
        self._file.write(checksums)
        self._content.update(checksums)

    def finish(self) -> str:
        """Wait until it is on the medium, and return its ContentHash. Raises ValueError if some is missing."""
        if self._missing:
            raise ValueError("%d bytes of checksums are missing" % self._missing)
        self._keep()
        return self._content.hexdigest()
