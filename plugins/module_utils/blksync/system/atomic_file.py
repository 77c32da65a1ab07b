# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Writes small files that are complete or absent after a power cut, never half written."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO

READABLE = 0o644


def replace(path: str, content: str | bytes, mode: int | None = None) -> None:
    """Put a new file in place of the old one in one step.

    ``mode`` holds its permission bits; without it they are READABLE, less what the umask takes away. Raises OSError.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    # The dot keeps readers of whole directories (node_exporter's textfile collector) from reading it as one of theirs.
    temporary = os.path.join(os.path.dirname(path), ".%s.new" % os.path.basename(path))
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, READABLE)
    try:
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            _write(fd, data)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
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
    """Close a file that nobody wants any more, whatever cannot be written."""
    with contextlib.suppress(OSError):
        file.close()


def append_line(path: str, line: str) -> None:
    """Add a line to a file, which is made where it is missing. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, READABLE)
    try:
        size = os.fstat(fd).st_size
        # A torn last line must not swallow this one.
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        _write(fd, ("%s%s\n" % ("\n" if torn else "", line)).encode("utf-8"))
    finally:
        os.close(fd)
    if not size:
        sync_dir(path)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.fsync(fd)


def sync_dir(path: str) -> None:
    """A new name is only on the medium once its directory is."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
