# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync restore-state`` command: restores after a sync and its guardian were both killed."""

from __future__ import annotations

import argparse

from ..errors import RestoreError
from ..quiesce.recovery import RestoredRun, restore_state
from . import messages
from .arguments import ERROR, OK


def run(_options: argparse.Namespace) -> int:
    """Restore after killed runs; ERROR if something could not be restored."""
    runs = restore_state()
    if not runs:
        messages.say("Nothing is left to restore.")
    for restored in runs:
        _tell(restored)
    return ERROR if any(restored.failures for restored in runs) else OK


def _tell(restored: RestoredRun) -> None:
    if restored.running:
        messages.say("%s: still running, left alone" % restored.label)
        return
    messages.say("%s: put back what its run had left (steps undone: %d)" % (restored.label, len(restored.actions)))
    for failure in restored.failures:
        messages.complain(RestoreError(failure.message, failure.hint))
