# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One sync at a time for each disk: a second one is refused, and told who the first is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import Iterator

from .errors import DeviceBusyError
from .machine import Disk
from .text import printable

RUN_FOLDER = "/run/blksync"


def hold(disk: Disk, purpose: str) -> contextlib.AbstractContextManager[None]:
    """Hold the disk for this process; the kernel lets go when the process ends, however it ends.

    Raises DeviceBusyError naming the process that holds it already.
    """
    return _hold("disk-%s" % disk.devno.replace(":", "-"), disk.path, disk.describe(), purpose)


def hold_file(path: str, purpose: str) -> contextlib.AbstractContextManager[None]:
    """Hold an image file by its real path, in the same way; the file need not be there."""
    return _hold("file-%s" % hashlib.sha256(os.fsencode(path)).hexdigest()[:32], path, path, purpose)


@contextlib.contextmanager
def _hold(name: str, short: str, what: str, purpose: str) -> Iterator[None]:
    path = os.path.join(RUN_FOLDER, name + ".lock")
    try:
        os.makedirs(RUN_FOLDER, mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DeviceBusyError(
            "Cannot lock %s with %s: %s." % (short, path, os.strerror(error.errno or 0)),
            "A sync needs root (become: true) and a writable /run.",
        ) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            first = os.pread(fd, 500, 0).decode("utf-8", "replace").strip() or "another process"
            raise DeviceBusyError(
                "%s is in use by another sync: %s." % (what, first), "Wait for it to end and run again."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, ("process %d, %s\n" % (os.getpid(), printable(purpose))).encode(), 0)
        yield
    finally:
        os.close(fd)
