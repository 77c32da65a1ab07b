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

from ...errors import RestoreError, why
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
    try:
        status = programs.run((program, option), PATIENCE).returncode
    except TimeoutError:
        return "journalctl %s did not end" % option
    except OSError as error:
        return "journalctl cannot be started: %s" % why(error)
    return "" if status == 0 else "journalctl %s failed (%d)" % (option, status)
