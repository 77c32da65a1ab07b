# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Writes to standard error without waiting, because the file system behind it may be frozen by this sync."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import Iterator


class NonblockingWriter:
    """Takes text or drops it.

    A terminal or pipe is opened a second time, non-blocking, since that flag on the descriptor itself would be shared
    with the shell. A socket (systemd's journal) takes it for each message. A regular file cannot be asked whether it
    would block: ``may_freeze`` is True, and the caller writes only while nothing is frozen.
    """

    def __init__(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        self.is_terminal = os.isatty(fd)
        self.may_freeze = stat.S_ISREG(mode)
        self._socket = socket.socket(fileno=os.dup(fd)) if stat.S_ISSOCK(mode) else None
        self._fd = -1
        if not self._socket:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            with contextlib.suppress(OSError):  # without it nothing is shown, which harms nobody
                self._fd = os.open("/proc/self/fd/%d" % fd, flags)

    def write(self, text: str) -> None:
        """Write now or not at all."""
        data = text.encode("utf-8", "replace")
        with contextlib.suppress(OSError):
            if self._socket:
                self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            elif self._fd >= 0 and self._in_foreground():
                os.write(self._fd, data)

    def columns(self) -> int:
        """The width of the terminal."""
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self._fd).columns or 80
        return 80

    def close(self) -> None:
        """Let go of what was opened."""
        if self._socket:
            self._socket.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _in_foreground(self) -> bool:
        """A background process that writes to its terminal may be stopped (stty tostop), with the source frozen."""
        if not self.is_terminal:
            return True
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True  # not the controlling terminal: nobody stops us for writing to it


@contextlib.contextmanager
def writer(fd: int) -> Iterator[NonblockingWriter]:
    """A writer to ``fd``, closed at the end."""
    opened = NonblockingWriter(fd)
    try:
        yield opened
    finally:
        opened.close()
