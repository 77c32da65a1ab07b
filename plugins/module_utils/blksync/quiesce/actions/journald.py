# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Keeps journald from writing to /var, which may be frozen.

If journald waits for a frozen file system, each program that logs waits too after some 277 messages, and the watchdog
kills journald after three minutes. So journald keeps its log in /run during the freeze (journalctl(1),
--relinquish-var, --flush).
"""

from __future__ import annotations

import os
import subprocess

from ...errors import RestoreError
from ...system import programs
from .base import Action

FLUSHED = "/run/systemd/journal/flushed"  # there while journald writes to /var (systemd-journald.service(8))
PERSISTENT = "/var/log/journal"
PATIENCE = 30.0  # seconds for each command


class RelinquishJournal(Action):
    """Have journald leave /var alone, and take it again."""

    action = "journal_relinquished"

    def do(self) -> None:
        """Nothing where no journald writes to /var. A journalctl too old for it (before systemd 243) is let pass."""
        if os.path.exists(FLUSHED) and os.path.isdir(PERSISTENT):
            _journalctl("--sync")
            _journalctl("--relinquish-var")

    def undo(self) -> str:
        """Nothing where journald writes to /var already, or never did."""
        if os.path.isdir(PERSISTENT) and os.path.isdir(os.path.dirname(FLUSHED)) and not os.path.exists(FLUSHED):
            problem = _journalctl("--flush")
            if problem:
                raise RestoreError("The system log was not moved back to disk: %s." % problem, "journalctl --flush")
        return ""


def _journalctl(option: str) -> str:
    """Run it and return what went wrong, or ""."""
    program = programs.find("journalctl")
    if not program:
        return "there is no journalctl"
    null = subprocess.DEVNULL
    process = subprocess.Popen((program, option), stdin=null, stdout=null, stderr=null)
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()  # and not waited for: what hangs on a frozen file system does not die
        return "journalctl %s did not end" % option
    return "" if status == 0 else "journalctl %s failed (%d)" % (option, status)
