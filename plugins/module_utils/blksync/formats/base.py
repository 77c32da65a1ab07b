# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The common part of digest and delta files: opens them, reads exact lengths, keeps or discards new ones."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from typing import TypeVar

from ..errors import FileFormatError
from ..system import atomic_file
from .header import HEADER_SIZE, Header, parse

CHUNK = 1024 * 1024  # bytes read or written at once

Reader = TypeVar("Reader", bound="FileReader")
Writer = TypeVar("Writer", bound="FileWriter")


class FileReader(ABC):
    """A file of ``length`` bytes that begins with ``magic``, open for reading; a context manager.

    Raises FileFormatError if it is no regular file or its header cannot be right.
    """

    magic = b""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd, self.length = _open_regular(path)
        try:
            self.header = parse(self.magic, self._read(min(self.length, HEADER_SIZE), 0), path)
            self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self: Reader) -> Reader:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @abstractmethod
    def _check(self) -> None:
        """Raise BlksyncError for a file that does not fit its header."""

    def _read(self, length: int, offset: int) -> bytes:
        """So many bytes from there on. Raises FileFormatError if the file ends before, or cannot be read."""
        parts = []
        while length:
            try:
                part = os.pread(self._fd, length, offset)
            except OSError as error:
                raise FileFormatError(self.path, "byte %d: %s" % (offset, os.strerror(error.errno or 0))) from error
            if not part:
                raise FileFormatError(self.path, "it ends at byte %d" % offset)
            parts.append(part)
            length -= len(part)
            offset += len(part)
        return b"".join(parts)


def _open_regular(path: str) -> tuple[int, int]:
    """Open for reading what must be a regular file: its descriptor and its size. Raises FileFormatError."""
    try:
        # Without O_NONBLOCK a fifo would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise FileFormatError(path, os.strerror(error.errno or 0)) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise FileFormatError(path, "it is not a regular file")
    return fd, status.st_size


class FileWriter:
    """Writes a new file from front to back; a context manager that removes it unless it was kept. Raises OSError."""

    def __init__(self, path: str, header: Header) -> None:
        self.path = path
        self.header = header
        self._kept = False
        self._file = os.fdopen(atomic_file.create(path, 0o600), "wb", CHUNK)

    def __enter__(self: Writer) -> Writer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file unless it was kept; calling it again is harmless."""
        if not self._file.closed:
            atomic_file.discard(self._file)
        if not self._kept:
            atomic_file.remove(self.path)

    def _keep(self) -> None:
        """Wait until all of it is on the medium."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._kept = True
