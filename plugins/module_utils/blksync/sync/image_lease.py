# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Notices other writers to an image file during a run, and waits until the file's times show every later write.

Facts: fcntl(2), "Leases": a write lease is given only if no other descriptor of the file is open, memory mappings
included, and whoever opens the file waits until the lease is given back. A file's times have the resolution of the file
system's clock: a tick of the kernel (before Linux 6.13), a second (ext4 with inodes of 128 bytes), two seconds (FAT).
Writes to mapped pages of a tmpfs change no times once the page has been read (mm/mmap.c, vma_wants_writenotify).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import signal
import tempfile
import time
from typing import Any

from ..digests.record import Facts
from . import endpoint

F_SETSIG = 10  # asm-generic/fcntl.h; the module fcntl does not have it everywhere
SIGNAL = signal.SIGURG  # does nothing where nobody handles it, unlike SIGIO
POLL = 0.005  # seconds


class ImageLease:
    """A write lease on the image that ``fd`` has open, given back at once when somebody else opens the image."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._alone = False
        self._handler: Any = None

    def __enter__(self) -> ImageLease:
        with contextlib.suppress(OSError, ValueError):  # others have it open; no leases there; not the main thread
            self._handler = signal.signal(SIGNAL, self._give_back)
            fcntl.fcntl(self._fd, F_SETSIG, SIGNAL)
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            self._alone = True
        return self

    def __exit__(self, *_exc: object) -> None:
        self._give_back()
        if self._handler is not None:
            signal.signal(SIGNAL, self._handler)

    def settled(self, path: str) -> Facts:
        """What the image at ``path`` looks like, if every later write will change that; empty if something else may
        have written to the image meanwhile, or if that cannot be found out."""
        try:
            facts = endpoint.look(path).content()
            dated = _await_tick(os.path.dirname(path), facts["changed"])
            alone = self._alone and fcntl.fcntl(self._fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK
        except OSError:
            return {}
        return facts if dated and alone else {}

    def _give_back(self, *_signal: object) -> None:
        if self._alone:
            self._alone = False
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _await_tick(directory: str, changed: int) -> bool:
    """Wait until a change in that file system gets another time than ``changed`` (nanoseconds). False if a change
    through a memory mapping gets no time at all, as in a tmpfs."""
    with tempfile.TemporaryFile(dir=directory) as clock, tempfile.TemporaryFile(dir=directory) as scratch:
        os.ftruncate(scratch.fileno(), mmap.PAGESIZE)
        with mmap.mmap(scratch.fileno(), mmap.PAGESIZE) as mapped:
            mapped[0] += 1  # reads first: where nothing watches mappings, that alone makes the page writable
            mapped.flush()
            made = os.fstat(scratch.fileno()).st_ctime_ns
            while os.fstat(clock.fileno()).st_ctime_ns in (made, changed):
                time.sleep(POLL)
                os.utime(clock.fileno())
            mapped[0] ^= 1
            return os.fstat(scratch.fileno()).st_ctime_ns != made
