# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Locks a disk or an image for one sync. A second sync is refused with the name of the first one."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import Iterator

from ..errors import DeviceBusyError
from ..paths import RUN_DIR
from ..text import printable


def hold(devno: str, path: str, what: str, purpose: str) -> contextlib.AbstractContextManager[None]:
    """Hold the disk for this process; the kernel lets go when the process ends, however it ends.

    ``devno`` is its "major:minor"; ``path`` and ``what``, which describes it, are for people.

    Raises DeviceBusyError naming the process that holds it already.
    """
    return _hold("disk-%s" % devno.replace(":", "-"), path, what, purpose)


@contextlib.contextmanager
def hold_file(path: str, purpose: str) -> Iterator[None]:
    """Hold an image file by its real path, in the same way; the file need not be there.

    Both the file and its name in its directory are held, each by device and inode: a hard link or a bind mount gives
    either of them another path.
    """
    with contextlib.ExitStack() as held:
        for name in _names_of(path):
            held.enter_context(_hold("file-%s" % name, path, path, purpose))
        yield


def _names_of(path: str) -> Iterator[str]:
    directory, name = os.path.split(path)
    for place, last in ((directory, os.fsencode(name)), (path, b"")):
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(place)
            key = b"%d %d %s" % (status.st_dev, status.st_ino, last)
            yield hashlib.sha256(key).hexdigest()[:32]


@contextlib.contextmanager
def _hold(name: str, short: str, what: str, purpose: str) -> Iterator[None]:
    path = os.path.join(RUN_DIR, name + ".lock")
    try:
        os.makedirs(RUN_DIR, mode=0o700, exist_ok=True)
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
