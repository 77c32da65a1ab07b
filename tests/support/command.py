# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blksync command as a process of its own, with its directories below a test's, plainly or in a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tooling.paths import ROOT

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT / "plugins" / "module_utils"), PYTHONDONTWRITEBYTECODE="1")
PROGRAM = "import sys; from blksync.cli import main; sys.exit(main())"
PATIENCE = 60  # seconds


class Command:
    """blksync with job files in ``directory``/etc and its history in ``directory``/state (or elsewhere)."""

    def __init__(self, directory: Path, state: Path | None = None) -> None:
        self.config = directory / "etc"
        self.state = state or directory / "state"
        self.config.mkdir(mode=0o755)

    def put_job(self, name: str, source: str, *targets: str, **more: Any) -> None:
        """Write a job file. The disks of tests are loop devices, which a job takes only if its file says so."""
        disks = {"source": source, "targets": [{"identifier": target} for target in targets]}
        path = self.config / f"{name}.json"
        content = {"version": 1, "name": name, "engine": "native", "loop_devices": True, **disks, **more}
        path.write_text(json.dumps(content))
        path.chmod(0o644)

    def argv(self, *arguments: str) -> list[str]:
        """The command line of a call."""
        directories = [f"--config-dir={self.config}", f"--state-dir={self.state}"]
        return [sys.executable, "-c", PROGRAM, *directories, *arguments]

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it to its end and check its exit code."""
        done = subprocess.run(
            self.argv(*arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """What it prints with --json."""
        printed: dict[str, Any] = json.loads(self.run(*arguments, "--json", code=code).stdout)
        return printed

    def history(self, name: str) -> list[dict[str, Any]]:
        """The runs of a job, the last one at the end."""
        path = self.state / "history.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [run for run in map(json.loads, lines) if run["job"] == name]

    def states(self, code: int = 0) -> list[str]:
        """How the disks of all jobs stand."""
        return [disk["state"] for job in self.json("status", code=code)["jobs"] for disk in job["disks"]]


class InTerminal:
    """A process whose standard streams are a terminal of its own; a context manager."""

    def __init__(self, argv: list[str], columns: int = 120, environment: Mapping[str, str] | None = None) -> None:
        self.master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            env=ENVIRONMENT if environment is None else environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # no threads here
        )
        os.close(terminal)
        self.seen = ""

    def __enter__(self) -> InTerminal:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)

    def read_until(self, words: str) -> None:
        """Read what it shows until ``words`` were shown."""
        while words not in self.seen:
            assert self._read(), f"it ended without {words!r}: {self.seen}"

    def shows(self, words: str, seconds: float) -> bool:
        """Read what it shows from now on until ``words`` were shown; False if they were not within that time."""
        before, deadline = len(self.seen), time.monotonic() + seconds
        while words not in self.seen[before:]:
            ready, _writable, _exceptional = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            if not ready or not self._read():
                return False
        return True

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self.master, key)

    def end(self) -> int:
        """Read all that it shows to its end; returns the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the last of its processes has closed the terminal
            return False
        self.seen += data.decode()
        return bool(data)
