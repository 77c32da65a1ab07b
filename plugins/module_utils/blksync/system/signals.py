# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Ends a run on purpose: by a signal, or because nobody can receive its result any more."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
from types import FrameType
from typing import Any

from ..errors import CancelledError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STDOUT = 1


class Cancellation:
    """While it is entered, signals only leave a note, and ``check`` raises at a moment that suits the caller.

    So no signal strikes in the middle of putting something back. The handlers that were there come back at the end.
    """

    def __init__(self, watch: int | None = STDOUT) -> None:
        self.reason = ""
        self._watch = watch
        self._handlers: dict[signal.Signals, Any] = {}
        self._poll: select.poll | None = None

    def __enter__(self) -> Cancellation:
        fill_standard_descriptors()
        self._poll = _poll_reader(self._watch)
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup: SIGHUP stays ignored
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._handlers = {}

    def check(self) -> None:
        """Raise CancelledError if a signal came or the reader of standard output is gone. Cheap."""
        if not self.reason and self._poll is not None and self._poll.poll(0):
            self.reason = "The connection was lost: nobody reads the output any more."
        if self.reason:
            raise CancelledError(self.reason, "The target is not a backup until a later run succeeds.")

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not self.reason:
            self.reason = "Ended by %s." % signal.Signals(number).name


def fill_standard_descriptors() -> None:
    """Open /dev/null in place of a closed standard descriptor.

    The next file opened, a disk perhaps, would get its number, and with it every message that is printed.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _poll_reader(fd: int | None) -> select.poll | None:
    """Something to ask whether the other end of a pipe or socket is gone; None for anything else.

    Without events asked for, poll(2) reports only POLLERR (pipe) and POLLHUP (socket, terminal).
    """
    if fd is None:
        return None
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return None
    poll = select.poll()
    poll.register(fd, 0)
    return poll
