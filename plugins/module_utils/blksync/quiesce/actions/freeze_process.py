# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Calls FIFREEZE (linux/fs.h) in a separate process, and FITHAW.

FIFREEZE waits for all writes that are under way. With a device that hangs this wait never ends, and not even SIGKILL
interrupts it. When it ends at last, the file system is frozen, and the process that called FIFREEZE must thaw it. So a
separate process waits in FIFREEZE. The process that started it can do something else or end; then the separate process
thaws the file system as soon as it is frozen.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import time

from ...system import libc

# _IOWR('X', 119, int) and _IOWR('X', 120, int): both directions together are the same bits on every architecture.
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
NAME = "blksync-freeze"
DIED = -1
POLL = 0.01  # seconds
_TIME = struct.Struct("d")


class Freezer:
    """Freezes the file system behind ``fd`` as soon as it is made. Raises OSError if it cannot be forked.

    It keeps the descriptors of its parent open until it ends: the sync's channel is closed only when nobody is left.
    """

    def __init__(self, fd: int) -> None:
        self._times = mmap.mmap(-1, 2 * _TIME.size)  # shared with the freezer, and all zero
        self._pid = 0
        self._end, theirs = socket.socketpair()
        try:
            self._pid = os.fork()
        except OSError:
            self._end.close()
            theirs.close()
            raise
        if self._pid == 0:
            try:
                self._end.close()
                _serve(fd, theirs, self._times)
            finally:
                os._exit(0)
        theirs.close()

    @property
    def called(self) -> float | None:
        """When FIFREEZE was called: writers wait from then on. Seconds of the monotonic clock, None: not yet."""
        return _TIME.unpack_from(self._times)[0] or None

    @property
    def over(self) -> float | None:
        """When the file system was writable again, by the freezer's own doing or because FIFREEZE failed."""
        return _TIME.unpack_from(self._times, _TIME.size)[0] or None

    def outcome(self, timeout: float) -> int | None:
        """0 if it is frozen and from now on the caller's to thaw, else FIFREEZE's errno, DIED if the freezer was
        killed and nothing is known; None if the kernel does not answer within ``timeout`` seconds."""
        poll = select.poll()
        poll.register(self._end.fileno(), select.POLLIN)
        if not poll.poll(timeout * 1000):
            return None
        answer = b""
        with contextlib.suppress(OSError):
            answer = self._end.recv(16)
            self._end.sendall(b"t")  # taken
        self._end.close()
        self._reap(0)
        return int(answer) if answer else DIED

    def abandon(self) -> None:
        """It is not wanted any more: the freezer itself thaws when it is frozen at last."""
        self._end.close()

    def has_ended(self, patience: float) -> bool:
        """Whether it is over within so many seconds."""
        deadline = time.monotonic() + patience
        while not self._reap(os.WNOHANG):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def wait(self) -> None:
        """Until it is over, however long that takes."""
        self._reap(0)

    def _reap(self, options: int) -> bool:
        if self._pid:
            try:
                if os.waitpid(self._pid, options)[0] == 0:
                    return False
            except ChildProcessError:
                pass
            self._pid = 0
        return True


def ioctl(fd: int, request: int) -> None:
    """FIFREEZE or FITHAW; raises OSError."""
    while True:
        try:
            fcntl.ioctl(fd, request, 0)
            return
        except InterruptedError:
            continue


def _serve(fd: int, end: socket.socket, times: mmap.mmap) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself, and not before it has thawed
    libc.set_process_name(NAME)
    outcome = 0
    _TIME.pack_into(times, 0, time.monotonic())
    try:
        ioctl(fd, FIFREEZE)
    except OSError as error:
        _TIME.pack_into(times, _TIME.size, time.monotonic())
        outcome = error.errno or DIED
    taken = b""
    with contextlib.suppress(OSError):
        end.sendall(b"%d" % outcome)
        taken = end.recv(1)
    if outcome == 0 and not taken:
        ioctl(fd, FITHAW)
        _TIME.pack_into(times, _TIME.size, time.monotonic())
