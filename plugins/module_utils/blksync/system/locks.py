# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One run at a time for each image and disk: a second one waits, and is told who the first is.

The locks are files in /run/blksync, which root alone can enter: whoever can open a lock can hold it (flock(2)).

Every run takes its locks in one order, so that no two runs wait for each other: the image's name, the image
itself, then the disks by number.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from typing import Callable, Iterator

from ..errors import DeviceBusyError
from ..paths import RUN_DIR
from ..text import printable
from . import private_dir

POLL = 0.1  # seconds


def nothing(*_ignored: object) -> None:
    """What is called where nobody wants to be called."""


class Patience:
    """How long one run waits for others: ``seconds`` in all, from the first lock that is not free.

    ``tell`` gets a sentence for each run that is waited for, ``check`` raises to end the waiting. ``waited``: a lock
    was not free at once.
    """

    def __init__(
        self, seconds: float = 0.0, tell: Callable[[str], None] = nothing, check: Callable[[], None] = nothing
    ):
        self.waited = False
        self._seconds, self._tell, self._check = seconds, tell, check
        self._since = 0.0
        self._told = ""

    def wait(self, what: str, first: str) -> None:
        """``what`` is in use by the run ``first``: wait a little. Raises DeviceBusyError when the time is over."""
        self._since = self._since or time.monotonic()
        waited = time.monotonic() - self._since
        if waited >= self._seconds:
            how_long = ", and was waited for %d s" % waited if self._seconds else ""
            raise DeviceBusyError(
                "%s is in use by another run: %s%s." % (what, first, how_long), "Wait for it to end and run again."
            )
        self.waited = True
        sentence = "%s is in use by another run: %s." % (what, first)
        if sentence != self._told:
            self._told = sentence
            self._tell(sentence)
        self._check()
        time.sleep(POLL)


def hold(
    devno: str, path: str, what: str, purpose: str, patience: Patience | None = None
) -> contextlib.AbstractContextManager[None]:
    """Hold the disk for this process; the kernel lets go when the process ends, however it ends.

    ``devno`` is its "major:minor"; ``path`` and ``what``, which describes it, are for people.

    Raises DeviceBusyError naming the process that holds it already.
    """
    return _hold("disk-%s" % devno.replace(":", "-"), path, what, purpose, patience)


@contextlib.contextmanager
def hold_file(path: str, purpose: str, patience: Patience | None = None) -> Iterator[None]:
    """Hold an image file by its real path, in the same way; the file need not be there.

    Both the file and its name in its directory are held, each by device and inode: a hard link or a bind mount gives
    either of them another path.
    """
    with contextlib.ExitStack() as held:
        for name in _names_of(path):
            held.enter_context(_hold("file-%s" % name, path, path, purpose, patience))
        yield


def _names_of(path: str) -> Iterator[str]:
    directory, name = os.path.split(path)
    for place, last in ((directory, os.fsencode(name)), (path, b"")):
        with contextlib.suppress(FileNotFoundError):
            yield _key(os.stat(place), last)


def _key(status: os.stat_result, name: bytes) -> str:
    return hashlib.sha256(b"%d %d %s" % (status.st_dev, status.st_ino, name)).hexdigest()[:32]


@contextlib.contextmanager
def _hold(name: str, short: str, what: str, purpose: str, patience: Patience | None) -> Iterator[None]:
    path = os.path.join(RUN_DIR, name + ".lock")
    patience = patience or Patience()
    try:
        with private_dir.opened(RUN_DIR) as directory:
            fd = private_dir.open_file(directory, name + ".lock", path)
    except OSError as error:
        raise DeviceBusyError("Cannot lock %s with %s: %s." % (short, path, os.strerror(error.errno or 0))) from error
    try:
        while not _is_locked(fd):
            patience.wait(what, os.pread(fd, 500, 0).decode("utf-8", "replace").strip() or "another process")
        os.ftruncate(fd, 0)
        os.pwrite(fd, ("process %d, %s\n" % (os.getpid(), printable(purpose))).encode(), 0)
        yield
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    """Whether it is ours now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
