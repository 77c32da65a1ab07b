# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH into a machine over one kept connection, so that a command costs milliseconds and not a key exchange."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


class RemoteError(RuntimeError):
    """A command in the machine failed; the text holds its output."""


@dataclass(frozen=True)
class Ssh:
    """How to reach root in one machine: port on 127.0.0.1, private key, socket of the kept connection."""

    port: int
    key: Path
    control: Path

    def options(self) -> list[str]:
        """Return the options of ssh that do not say where to; Ansible gets them too (host keys: a test machine's)."""
        return [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "IdentitiesOnly=yes",
        ]

    def argv(self, command: str, shared: bool = True) -> list[str]:
        """Return the argument vector that runs a shell command, over the kept connection or one of its own."""
        reuse = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.control}", "-o", "ControlPersist=600"]
        return [
            "ssh",
            "-i",
            str(self.key),
            "-p",
            str(self.port),
            *self.options(),
            *(reuse if shared else ["-o", "ControlPath=none"]),
            "root@127.0.0.1",
            command,
        ]

    def run(self, command: str, input: str | None = None, timeout: float = 300) -> str:
        """Run a shell command as root, return its standard output; raise RemoteError if it fails."""
        done = self.attempt(command, input, timeout)
        if done.returncode != 0:
            raise RemoteError(f"{command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def attempt(self, command: str, input: str | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root and return how it ended."""
        return subprocess.run(
            self.argv(command), input=input, capture_output=True, text=True, timeout=timeout, check=False
        )

    def answers(self) -> bool:
        """Tell whether the machine lets us in."""
        try:
            return self.attempt("true", timeout=15).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def close(self) -> None:
        """End the kept connection; a machine that is gone takes it along."""
        subprocess.run(
            ["ssh", "-O", "exit", "-o", f"ControlPath={self.control}", "-p", str(self.port), "root@127.0.0.1"],
            capture_output=True,
            check=False,
        )
