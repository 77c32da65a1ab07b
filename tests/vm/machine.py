# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine: started, reached by SSH, plugged, stopped, killed. Any process can find it again by its directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .hardware import Files, Hardware, UsbDisk, as_json, command_line
from .host import UEFI_VARIABLES, CommandError, run
from .qmp import Qmp
from .remote import Ssh
from .waiting import wait_for

BOOT_LIMIT = 300  # seconds; it takes 40 with two processors to itself, but test machines share theirs
PASSPHRASE_PROMPT = "Please unlock disk"
_STARTS = 5  # a free port can be taken by somebody else before QEMU has it


class MachineDied(RuntimeError):
    """QEMU ended while something was expected of the machine; the text holds the end of its console."""


@dataclass
class Machine:
    """A virtual machine with USB disks. `directory` holds its state; `key` is root's private SSH key."""

    directory: Path
    hardware: Hardware
    key: Path
    disks: list[UsbDisk] = field(default_factory=list)
    port: int = 0
    sockets: Path = Path()

    @classmethod
    def load(cls, directory: Path) -> Machine | None:
        """Return the machine that was started in `directory`, running or not; None where none was."""
        try:
            state = json.loads((directory / "machine.json").read_text())
        except FileNotFoundError:
            return None
        return cls(
            directory,
            Hardware(**state["hardware"]),
            Path(state["key"]),
            [UsbDisk.from_dict(disk) for disk in state["disks"]],
            state["port"],
            Path(state["sockets"]),
        )

    @property
    def files(self) -> Files:
        """Where its sockets and logs are."""
        return Files(self.directory, self.sockets)

    @property
    def ssh(self) -> Ssh:
        """Root in the machine."""
        return Ssh(self.port, self.key, self.files.ssh_control)

    def disk(self, name: str) -> UsbDisk:
        """Return the attached disk of that name."""
        return next(disk for disk in self.disks if disk.name == name)

    def start(self, incoming: Path | None = None, variables: Path = UEFI_VARIABLES) -> None:
        """Start QEMU, which runs on by itself; `incoming` and `variables` are those of a saved state."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.sockets = Path(tempfile.mkdtemp(prefix="vm-"))
        self.files.console_log.unlink(missing_ok=True)
        if self.hardware.firmware == "uefi":
            shutil.copy(variables, self.files.variables)
        for attempt in range(1, _STARTS + 1):
            self.port = _free_port()
            self._remember()
            try:
                run(*command_line(self.hardware, self.disks, self.files, self.port, incoming))
                return
            except CommandError as error:
                if attempt == _STARTS or "Could not set up host forwarding" not in str(error):
                    raise

    def running(self) -> bool:
        """Tell whether its QEMU process runs: not a zombie, which nobody may be there to reap, nor another's pid."""
        try:
            process = Path("/proc") / self.files.pid.read_text().strip()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            return state != "Z" and str(self.files.pid) in (process / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False

    def wait_ssh(self, limit: float = BOOT_LIMIT, passphrase: str | None = None) -> None:
        """Wait until root can log in; type the passphrase on the console when it is asked for."""
        if passphrase is not None:
            self.wait_console(PASSPHRASE_PROMPT, limit)
            self.type_on_console(f"{passphrase}\n")
        self._wait(f"SSH into {self.directory.name}", self.ssh.answers, limit, every=0.3)

    def set_clock(self) -> None:
        """Give the guest the host's time; a restored one lives in the past."""
        self.ssh.run(f"date --set=@{time.time():.0f}")

    def wait_console(self, text: str, limit: float = BOOT_LIMIT) -> None:
        """Wait until the guest has written `text` on its serial console."""
        self._wait(f"{text!r} on the console of {self.directory.name}", lambda: text in self.console_text(), limit)

    def console_text(self) -> str:
        """Return what the guest wrote on its serial console since the start."""
        return self.files.console_log.read_text(errors="replace") if self.files.console_log.exists() else ""

    def type_on_console(self, text: str, limit: float = 60) -> None:
        """Type `text` on the serial console and wait until the guest has written something in answer.

        QEMU drops what the guest has not read yet when the connection ends, so it is held until the answer.
        """
        before = len(self.console_text())
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(self.files.console))
            console.sendall(text.encode())
            wait_for("an answer on the console", lambda: len(self.console_text()) > before, limit)

    def qmp(self) -> Qmp:
        """Return a new connection to QEMU's machine protocol."""
        return Qmp(self.files.qmp)

    def plug(self, disk: UsbDisk, wait: bool = True) -> None:
        """Plug a disk in; with `wait`, until udev in the guest has given it its stable name."""
        with self.qmp() as qmp:
            qmp.execute("blockdev-add", **disk.block_node())
            qmp.execute("device_add", **disk.device())
        self.disks.append(disk)
        self._remember()
        if wait:
            self.ssh.run(
                f"for i in $(seq 200); do [ -b {disk.by_id} ] && break; sleep .1; done; "
                f"udevadm settle; test -b {disk.by_id}"
            )

    def unplug(self, name: str) -> UsbDisk:
        """Pull a disk out, as by hand: the guest is not asked. Return it, for plugging it in again."""
        disk = self.disk(name)
        with self.qmp() as qmp:
            qmp.execute("device_del", id=disk.device_id)
            qmp.wait_event("DEVICE_DELETED", device=disk.device_id)
            qmp.execute("blockdev-del", node_name=disk.name)
        self.disks.remove(disk)
        self._remember()
        return disk

    def shut_down(self, limit: float = 90) -> None:
        """Shut the guest down in an orderly way and wait until QEMU has ended."""
        self.ssh.attempt("systemctl poweroff --no-wall")
        wait_for(f"{self.directory.name} powered off", lambda: not self.running(), limit)
        self._forget()

    def kill(self) -> None:
        """End QEMU at once, as a power cut does; a machine that does not run is fine."""
        if self.running():
            os.kill(int(self.files.pid.read_text()), signal.SIGKILL)
            wait_for(f"{self.directory.name} ended", lambda: not self.running(), 30)
        self._forget()

    def _wait(self, what: str, probe: Callable[[], bool], limit: float, every: float = 0.1) -> None:
        """Wait for something that a running machine does; an error shows how far its console came."""
        try:
            wait_for(what, lambda: self._must_run() and probe(), limit, every)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self._console_end()}") from None

    def _must_run(self) -> bool:
        if not self.running():
            raise MachineDied(f"{self.directory.name} ended; {self._console_end()}")
        return True

    def _console_end(self) -> str:
        return f"its console:\n{self.console_text()[-3000:]}"

    def _remember(self) -> None:
        state = {
            **as_json(self.hardware, self.disks),
            "key": str(self.key),
            "port": self.port,
            "sockets": str(self.sockets),
        }
        (self.directory / "machine.json").write_text(json.dumps(state, indent=1))

    def _forget(self) -> None:
        """Remove what only a running machine needs; the console's log and the disks stay."""
        self.ssh.close()
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.files.pid.unlink(missing_ok=True)


def _free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
