# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is ended by a signal or by losing its reader."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from blksync.errors import CancelledError
from blksync.system.signals import Cancellation

CORE = Path(__file__).parents[3] / "plugins" / "module_utils"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_note_and_the_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Cancellation(watch=None) as cancellation:
        cancellation.check()
        os.kill(os.getpid(), number)
        with pytest.raises(CancelledError, match=number.name):
            cancellation.check()
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Cancellation(watch=None) as cancellation:
            os.kill(os.getpid(), signal.SIGHUP)
            cancellation.check()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_is_gone_ends_the_run(kind: str) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (end.detach() for end in socket.socketpair())
    with Cancellation(watch=writer) as cancellation:
        os.write(writer, b"not read yet")
        cancellation.check()
        os.close(reader)
        with pytest.raises(CancelledError, match="connection"):
            cancellation.check()
    os.close(writer)


def test_output_to_a_file_has_no_reader_to_lose(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w", encoding="ascii") as file, Cancellation(watch=file.fileno()) as cancellation:
        cancellation.check()


def test_closed_standard_descriptors_are_not_given_to_a_disk(tmp_path: Path) -> None:
    program = """if True:
        import os, sys
        from blksync.system.signals import Cancellation
        with Cancellation() as cancellation:
            fd = os.open(sys.argv[1], os.O_RDWR)
            print("a message")
            sys.stdout.flush()
            cancellation.check()
            sys.exit(0 if fd > 2 else 3)
    """
    disk = tmp_path / "disk"
    disk.write_bytes(b"data")
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program, str(disk)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CORE)}, check=False)
    assert done.returncode == 0
    assert disk.read_bytes() == b"data"
