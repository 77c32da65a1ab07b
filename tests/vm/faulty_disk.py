# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that misbehaves on demand: an image file served to QEMU, with errors, lost writes and stalls."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .hardware import UsbDisk
from .nbd import EIO, FLUSH, READ, WRITE, Connection, Request

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE = 300  # seconds; a stall that nobody ends fails the request


@dataclass(frozen=True)
class Fault:
    """What goes wrong with requests that touch the bytes from `start` to `end` of the disk.

    read_error, write_error: the request fails; lost_write: it is confirmed and forgotten; stalled_read,
    stalled_write: the disk stops answering at that request until FaultyDisk.resume is called.
    """

    kind: Literal["read_error", "write_error", "lost_write", "stalled_read", "stalled_write"]
    start: int = 0
    end: int = 1 << 62


class FaultyDisk:
    """Serves `image` as long as the `with` lasts; `faults` may be changed at any time.

    `stalled` is set while a request is being held.
    """

    def __init__(self, image: Path, *faults: Fault) -> None:
        self.image = image
        self.faults = list(faults)
        self.stalled = threading.Event()
        self._resumed = threading.Event()
        self._dir = Path(tempfile.mkdtemp(prefix="disk-"))
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> FaultyDisk:
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        # closing alone does not wake a thread in accept
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        self.socket.unlink()
        self._dir.rmdir()

    @property
    def socket(self) -> Path:
        """Where QEMU finds it."""
        return self._dir / "disk.nbd"

    def as_usb(self, name: str, serial: str, port: int) -> UsbDisk:
        """Return the disk as a machine can have it plugged in."""
        return UsbDisk(name, self.socket, serial, port)

    def resume(self) -> None:
        """End a stall; what stalls from now on is a new one."""
        self.faults = [fault for fault in self.faults if not fault.kind.startswith("stalled")]
        self._resumed.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:  # the listener was closed
                return
            with client, contextlib.suppress(EOFError, ConnectionError):
                self._serve(Connection(client))

    def _serve(self, connection: Connection) -> None:
        connection.negotiate(self.image.stat().st_size)
        with self.image.open("r+b", buffering=0) as image:
            while True:
                request = connection.request()
                kinds = self._faults_of(request)
                if kinds & {"stalled_read", "stalled_write"}:
                    self._stall()
                if kinds & {"read_error", "write_error"}:
                    connection.reply(request, error=EIO)
                elif request.command == READ:
                    image.seek(request.offset)
                    connection.reply(request, image.read(request.length))
                elif request.command == WRITE:
                    if "lost_write" not in kinds:
                        image.seek(request.offset)
                        image.write(request.data)
                    connection.reply(request)
                else:
                    connection.reply(request, error=0 if request.command == FLUSH else EIO)

    def _faults_of(self, request: Request) -> set[str]:
        verb = {READ: "read", WRITE: "write"}.get(request.command, "none")
        end = request.offset + request.length
        return {f.kind for f in self.faults if verb in f.kind and f.start < end and request.offset < f.end}

    def _stall(self) -> None:
        self._resumed.clear()
        self.stalled.set()
        self._resumed.wait(PATIENCE)
        self.stalled.clear()
