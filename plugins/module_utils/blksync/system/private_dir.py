# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A directory that this user alone can enter, and files in it that nobody else can have open.

Locks and state files lie there. Whoever can open a file can lock it (flock(2)), and whoever can write to a state file
decides what root mounts.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Iterator

from ..errors import BlksyncError, UntrustedError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """The directory's descriptor. The directory is made if it is missing, and closed to others if it is open to them.

    Raises UntrustedError if the directory belongs to somebody else or is none, BlksyncError if it cannot be made.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as error:  # or a symbolic link
        raise UntrustedError(path, "it is not a directory") from error
    except OSError as error:
        raise BlksyncError(
            "Cannot use %s: %s." % (path, os.strerror(error.errno or 0)), "This needs root and a writable /run."
        ) from error
    try:
        status = os.fstat(fd)
        expect_own(status, path)
        if status.st_mode & OTHERS:
            os.fchmod(fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def expect_own(status: os.stat_result, path: str) -> None:
    """Raise UntrustedError unless it is the status of a directory of this user."""
    if not stat.S_ISDIR(status.st_mode):
        raise UntrustedError(path, "it is not a directory")
    if status.st_uid != os.geteuid():
        raise UntrustedError(path, "it belongs to user %d" % status.st_uid)


def open_file(directory: int | None, name: str, path: str) -> int:
    """Open a file of the directory for reading and writing; it is made if it is missing.

    Without a ``directory`` the ``name`` is a path, in a place where nobody else can make or remove files.
    ``path`` is for messages. Raises UntrustedError if the file is not a regular one that this user alone can open,
    OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & OTHERS:
        os.close(fd)
        raise UntrustedError(path, "it is not a regular file that only user %d can open" % os.geteuid())
    return fd
