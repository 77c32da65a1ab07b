# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real live sync as quiesce_driver runs it, that reports and can hold in each of its phases.

    python -m tests.support.live_driver '{"source": ..., "quiesce": "live", "hold_in": "iteration"}'

The phases: "traced", "first freeze", "pass 1" (some of it is done), "between", "iteration" (frozen), "last pass"
(frozen), "last read" (all is copied, still frozen), "verify" (of the last pass, thawed). There are three iterations,
even if little is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from blksync.live import convergence
from blksync.live.convergence import Convergence
from blksync.live.dirty_tracker import DirtyTracker
from blksync.sync.copy_run import CopyRun
from blksync.sync.monitor import PassMonitor
from blksync.sync.pair import PairCopy

from . import quiesce_driver
from .quiesce_driver import AnnouncingQuiescer, DrivenQuiesce, say

FROZEN = ("first freeze", "iteration", "last pass", "last read")
PHASES = ("traced", "first freeze", "pass 1", "between", "iteration", "last pass", "last read", "verify")


def announce(owner: type, name: str, phase: Callable[..., str], after: bool = False) -> None:
    """Announce each call of a method, before or after its work; ``phase`` gives the text, "" for none."""
    original = getattr(owner, name)

    def announced(*arguments: Any) -> Any:
        if not after:
            _say(phase(*arguments))
        result = original(*arguments)
        if after:
            _say(phase(*arguments))
        return result

    setattr(owner, name, announced)


def _say(phase: str) -> None:
    if phase:
        say(phase, AnnouncingQuiescer.hold_in)
        if phase == AnnouncingQuiescer.hold_in:
            AnnouncingQuiescer.hold_in = ""  # once


def main() -> int:
    """Run the sync as quiesce_driver does."""
    ending: list[bool] = []
    passes: list[bool] = []

    def last_pass(*_arguments: Any) -> str:
        ending.append(True)
        return "last pass"

    def next_pass(*_arguments: Any) -> str:
        passes.append(True)
        return "between" if len(passes) == 3 else ""

    announce(DirtyTracker, "__enter__", lambda _tracker: "traced", after=True)
    announce(DirtyTracker, "restart", lambda *_arguments: "first freeze")
    announce(PassMonitor, "advanced", lambda *_arguments: "pass 1" if len(passes) == 1 else "")
    announce(PairCopy, "quiesce", next_pass)
    announce(Convergence, "is_last", lambda _iterations, _dirty: "iteration" if len(passes) == 3 else "")
    announce(CopyRun, "_copy_quiesced", last_pass)
    announce(PairCopy, "changes", lambda *_arguments: "last read", after=True)
    announce(PairCopy, "end", lambda *_arguments: "verify" if ending else "")
    convergence.SMALL, convergence.SHRINKS, convergence.MOST, convergence.LARGE = -1, 1e9, 2, 1
    return quiesce_driver.main()


class DrivenLive(DrivenQuiesce):
    """The test's side."""

    module = "tests.support.live_driver"


if __name__ == "__main__":
    sys.exit(main())
