# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's machine protocol: one connection, commands and the events that come with them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any


class QmpError(RuntimeError):
    """QEMU refused a command."""


class Qmp:
    """A connection to a machine's QMP socket, to be used as a context manager (QEMU serves one at a time)."""

    def __init__(self, path: Path, timeout: float = 30):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._path = path
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Qmp:
        self._socket.connect(str(self._path))
        self._lines = self._socket.makefile("r")
        self._read()  # the greeting
        self.execute("qmp_capabilities")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command and return what it returns; underscores in argument names become hyphens."""
        message = {"execute": command, "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def wait_event(self, name: str, **data: Any) -> dict[str, Any]:
        """Wait for an event of that name whose data holds `data`; events since the connection count."""
        while True:
            for event in self._events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self._events.remove(event)
                    return event
            self._events.append(self._read())

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise QmpError("QEMU closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer
