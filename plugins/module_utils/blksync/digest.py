# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""blocksync-fast's digest files: a header, then the checksum of every block in order. Both ways in bounded memory."""

from __future__ import annotations

import hashlib
import os
import struct
from types import TracebackType
from typing import Any, Iterator

from . import algorithms, durable
from .algorithms import Algorithm
from .errors import FileFormatError
from .file_header import DIGEST_MAGIC, HEADER_SIZE, Header, open_regular, pack, parse, read_exactly

CHUNK = 1024 * 1024  # bytes read at once


class ContentHash:
    """What identifies the content of an image: a hash of its geometry, its algorithm and all checksums in order.

    Two digests have the same one exactly when they speak of the same content, whoever made them and when.
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


class DigestReader:
    """An open digest file; a context manager. Raises FileFormatError or AlgorithmError where it is not whole."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd, size = open_regular(path)
        try:
            self.header = parse(DIGEST_MAGIC, read_exactly(self._fd, min(size, HEADER_SIZE), 0, path), path)
            self.algorithm = algorithms.by_number(self.header.algorithm)
            expected = HEADER_SIZE + self.header.blocks * self.algorithm.size
            if size != expected:
                raise FileFormatError(path, "it has %d bytes where its header asks for %d" % (size, expected))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> DigestReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def checksums(self, first: int, count: int) -> bytes:
        """The checksums of ``count`` blocks from block ``first`` on. Raises FileFormatError."""
        size = self.algorithm.size
        return read_exactly(self._fd, count * size, HEADER_SIZE + first * size, self.path)

    def chunks(self) -> Iterator[bytes]:
        """All checksums in order, in pieces of about CHUNK bytes."""
        step = max(1, CHUNK // self.algorithm.size)
        for first in range(0, self.header.blocks, step):
            yield self.checksums(first, min(step, self.header.blocks - first))

    def content(self) -> str:
        """The ContentHash of what the digest speaks of; reads all of it."""
        content = ContentHash(self.header.data_size, self.header.block_size, self.algorithm)
        for chunk in self.chunks():
            content.update(chunk)
        return content.hexdigest()


class DigestWriter:
    """Writes a digest file from front to back; a context manager that removes it unless it was finished.

    The room that it takes is allocated at the beginning. Raises OSError.
    """

    def __init__(self, path: str, header: Header, algorithm: Algorithm) -> None:
        self.path = path
        self.header = header
        self.algorithm = algorithm
        self._content = ContentHash(header.data_size, header.block_size, algorithm)
        self._missing = header.blocks * algorithm.size
        self._finished = False
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(fd, "wb", CHUNK)
        try:
            os.posix_fallocate(fd, 0, HEADER_SIZE + self._missing)
            self._file.write(pack(DIGEST_MAGIC, header))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> DigestWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, checksums: bytes) -> None:
        """The checksums of the next blocks. Raises ValueError for more than there are blocks."""
        if len(checksums) > self._missing:
            raise ValueError("more checksums than blocks")
        self._missing -= len(checksums)
        self._file.write(checksums)
        self._content.update(checksums)

    def finish(self) -> str:
        """Wait until it is on the medium, and return its ContentHash. Raises ValueError where some is missing."""
        if self._missing:
            raise ValueError("%d bytes of checksums are missing" % self._missing)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._finished = True
        return self._content.hexdigest()

    def close(self) -> None:
        """Remove the file unless it was finished; calling it again is harmless."""
        if not self._file.closed:
            durable.discard(self._file)
        if not self._finished:
            durable.remove(self.path)
