# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Writes small files that are complete or absent after a power cut, never half written."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import BinaryIO

from ..errors import UntrustedError

READABLE = 0o644


def read(path: str) -> bytes:
    """All of a small file. Raises UntrustedError if it is no regular file, OSError."""
    return read_with_status(path)[0]


def read_with_status(path: str) -> tuple[bytes, os.stat_result]:
    """As read(), with the status of the file that was read. A FIFO is not waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedError(path, "it is not a regular file")
        return file.read(), status


def create(path: str, mode: int, flags: int = os.O_WRONLY) -> int:
    """Open a file that is made here and now; what was at its name is removed. Raises OSError.

    Only the name is removed, whatever it led to: a link that somebody has put there is not followed, a FIFO not opened.
    """
    remove(path)
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def replace(path: str, content: str | bytes, mode: int | None = None) -> None:
    """Put a new file in place of the old one in one step.

    ``mode`` holds its permission bits; without it they are READABLE, less what the umask takes away. Raises
    UntrustedError if something else than a regular file is there, OSError.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise UntrustedError(path, "it is not a regular file")
    # The dot keeps readers of whole directories (node_exporter's textfile collector) from reading it as one of theirs.
    temporary = os.path.join(os.path.dirname(path), ".%s.new" % os.path.basename(path))
    fd = create(temporary, READABLE)
    try:
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            _write(fd, data, path)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise
    sync_dir(path)


def move(source: str, target: str) -> None:
    """Rename a file whose content is on the medium already, in one step that survives as well. Raises OSError."""
    os.replace(source, target)
    sync_dir(target)


def remove(path: str) -> None:
    """Remove a file if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def discard(file: BinaryIO) -> None:
    """Close a file that is not needed any more, and ignore errors in writing its rest."""
    with contextlib.suppress(OSError):
        file.close()


def append_line(path: str, line: str) -> None:
    """Add a line to a file, which is created if it is missing.

    Raises UntrustedError if the file is not a regular one of this user with one name, OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, READABLE)
    try:
        expect_own(fd, path)
        size = os.fstat(fd).st_size
        # A torn last line must not swallow this one.
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        _write(fd, ("%s%s\n" % ("\n" if torn else "", line)).encode("utf-8"), path)
    finally:
        os.close(fd)
    if not size:
        sync_dir(path)


def expect_own(fd: int, path: str) -> None:
    """Raise UntrustedError unless ``fd`` is a regular file of this user that has no other name.

    A hard link would lead to a file elsewhere.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
        raise UntrustedError(path, "it is not a regular file of user %d alone" % os.geteuid())


def _write(fd: int, data: bytes, path: str) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    except OSError as error:
        error.filename = path  # a full disk says no name
        raise


def sync_dir(path: str) -> None:
    """A new name is only on the medium once its directory is."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
