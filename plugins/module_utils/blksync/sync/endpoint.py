# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds out what is at the path of a source or target: a device, an image file, nothing, or something else."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ..digests.record import Facts
from ..errors import InvalidRequestError
from ..system.device import device_number

BLOCK, FILE, MISSING, OTHER = "block", "file", "missing", "other"


@dataclass(frozen=True)
class Endpoint:
    """One end of a copy, as it was when it was looked at.

    ``real`` is the path without symbolic links; ``devno`` is the block device itself. ``inode`` and the times
    (nanoseconds) are a file's. ``directory``: whether the directory that it lies in exists.
    """

    path: str
    real: str
    kind: str
    size: int = 0
    devno: str = ""
    inode: int = 0
    device: int = 0
    modified: int = 0
    changed: int = 0
    directory: bool = True

    def content(self) -> Facts:
        """What changes when anybody writes to an image file."""
        return {"inode": self.inode, "size": self.size, "modified": self.modified, "changed": self.changed}


def look(path: str) -> Endpoint:
    """Raises InvalidRequestError where even looking fails."""
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except FileNotFoundError:
        if os.path.exists(path):  # a link of /proc, to a file that was removed or lies in another mount namespace
            raise InvalidRequestError("%s leads to a file without a name." % path, "Name the file itself.") from None
        return Endpoint(path, real, MISSING, directory=os.path.isdir(os.path.dirname(real)))
    except OSError as error:
        raise InvalidRequestError("Cannot look at %s: %s." % (path, os.strerror(error.errno or 0))) from error
    if not _is_same(path, status):
        raise InvalidRequestError(
            "%s leads to a file that has another name or none, not to %s." % (path, real), "Name the file itself."
        )
    if stat.S_ISBLK(status.st_mode):
        return Endpoint(path, real, BLOCK, _size(real), device_number(status))
    kind = FILE if stat.S_ISREG(status.st_mode) else OTHER
    return Endpoint(
        path,
        real,
        kind,
        status.st_size,
        "",
        status.st_ino,
        status.st_dev,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_same(path: str, status: os.stat_result) -> bool:
    """Whether a path leads where its links say: those of /proc/PID/fd name what a file was called once."""
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


def _size(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidRequestError("Cannot open %s: %s." % (path, os.strerror(error.errno or 0))) from error
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)
