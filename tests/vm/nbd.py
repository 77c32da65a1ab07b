# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the network block device protocol, as far as QEMU uses it for one plain export.

https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

READ, WRITE, DISCONNECT, FLUSH = range(4)
EIO = 5

_OPTION_MAGIC, _REPLY_MAGIC = 0x49484156454F5054, 0x3E889045565A9
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_ABORT, _INFO, _GO = 2, 6, 7
_ACK, _EXPORT_INFO, _UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _SEND_FLUSH = 1, 4
_REQUEST = struct.Struct(">IHHQQI")
_REQUEST_MAGIC, _SIMPLE_REPLY_MAGIC = 0x25609513, 0x67446698


@dataclass(frozen=True)
class Request:
    """What the client wants: READ, WRITE or FLUSH, at an offset and of a length in bytes; `data` is to be written."""

    command: int
    cookie: int
    offset: int
    length: int
    data: bytes = b""


class Connection:
    """A connection to one client. Its methods raise EOFError when the client is gone."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def negotiate(self, size: int) -> None:
        """Offer an export of `size` bytes, until the client takes it."""
        self._client.sendall(b"NBDMAGIC" + struct.pack(">QH", _OPTION_MAGIC, _FIXED_NEWSTYLE | _NO_ZEROES))
        self._receive(4)  # the client's flags: the same two
        while True:
            _magic, option, length = struct.unpack(">QII", self._receive(16))
            self._receive(length)
            if option in (_INFO, _GO):
                info = struct.pack(">HQH", 0, size, _HAS_FLAGS | _SEND_FLUSH)
                self._reply_to_option(option, _EXPORT_INFO, info)
            self._reply_to_option(option, _ACK if option in (_ABORT, _INFO, _GO) else _UNSUPPORTED)
            if option == _GO:
                return
            if option == _ABORT:
                raise EOFError

    def request(self) -> Request:
        """Wait for the next request."""
        magic, _flags, command, cookie, offset, length = _REQUEST.unpack(self._receive(_REQUEST.size))
        if magic != _REQUEST_MAGIC or command == DISCONNECT:
            raise EOFError
        return Request(command, cookie, offset, length, self._receive(length) if command == WRITE else b"")

    def reply(self, request: Request, data: bytes = b"", error: int = 0) -> None:
        """Answer a request, with the data that was read or an errno."""
        self._client.sendall(struct.pack(">IIQ", _SIMPLE_REPLY_MAGIC, error, request.cookie) + data)

    def _reply_to_option(self, option: int, kind: int, data: bytes = b"") -> None:
        self._client.sendall(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)

    def _receive(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._client.recv(min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
