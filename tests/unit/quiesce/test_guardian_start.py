# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the guardian where processes are short, or nobody waits for them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from blksync.errors import QuiesceError
from blksync.processes import identify, is_alive
from blksync.quiesce import guardian
from tests.support.mounted import wait_for


def test_no_process_can_be_forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", fail)
    with pytest.raises(QuiesceError, match="Cannot start the guardian process"):
        guardian.start("a test", str(tmp_path))


def test_sigchld_is_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        channel, pid, _notes = guardian.start("a test", str(tmp_path))
    finally:
        signal.signal(signal.SIGCHLD, before)
    process = identify(pid)
    channel.close()
    wait_for(lambda: not is_alive(process), 5)
