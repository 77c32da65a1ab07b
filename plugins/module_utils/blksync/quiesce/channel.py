# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The channel between a sync and its guardian: messages over a socket pair."""

from __future__ import annotations

import select
import socket
import time
from typing import Sequence

from .messages import Message, decode, encode

SEND_PATIENCE = 5.0  # seconds; the other side always reads, or is dead


class ChannelClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.settimeout(SEND_PATIENCE)
        self._received = b""

    def send(self, message: Message) -> None:
        """Raises ChannelClosedError. When it returns the other side will get it, even if this one dies now."""
        try:
            self._socket.sendall(encode(message))
        except OSError as error:
            raise ChannelClosedError from error

    def receive(self, timeout: float | None, wake: Sequence[int] = ()) -> Message | None:
        """The next message, or None after ``timeout`` seconds or when a descriptor of ``wake`` can be read.

        Raises ChannelClosedError at the end, MalformedMessageError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._received:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = readable([self._socket.fileno(), *wake], left)
            if self._socket.fileno() not in ready:
                return None
            self._read()
        line, _newline, self._received = self._received.partition(b"\n")
        return decode(line)

    def has_news(self) -> bool:
        """True where receive() would return or raise at once."""
        return bool(self._received) or bool(readable([self._socket.fileno()], 0))

    def close(self) -> None:
        """The other side sees the end."""
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise ChannelClosedError from error
        if not data:
            raise ChannelClosedError
        self._received += data


def readable(descriptors: list[int], timeout: float | None) -> set[int]:
    """Which of the descriptors can be read, or are closed on the other side, within so many seconds."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _event in poll.poll(None if timeout is None else timeout * 1000)}
