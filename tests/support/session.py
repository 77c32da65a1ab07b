# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest session that leaves nothing behind: signals end it through all finalisers, and what is left is removed.

SIGTERM, SIGHUP and SIGINT count once; later ones do not disturb the finalisers. The controller of pytest-xdist passes
them to its workers and waits. A worker that was killed is cleaned up after by the controller, a whole session that was
killed by the next one. Each process gives what it starts its tag (tests.support.owner), by which that is found.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from . import owner
from .parent import end_with_parent
from .waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
AGAIN = 1.0  # seconds after which a signal is repeated: a sync within a test may have taken it for its own


class Ended(KeyboardInterrupt):
    """A signal ended the session."""


class Session:
    """The plugin of one process, a controller or a worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._worker = hasattr(config, "workerinput")
        self._ending = False
        self._nodes: list[Any] = []
        self._left_behind: list[str] = []
        os.environ[owner.VARIABLE] = owner.tag()
        for number in SIGNALS:
            signal.signal(number, self._end)
        if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:  # nohup: what the tests start would ignore it as well
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        if self._worker:
            end_with_parent(signal.SIGTERM)
        else:
            remove_leftovers()

    def _end(self, number: int, _frame: FrameType | None) -> None:
        if self._ending:
            os.write(2, b"\npytest cleans up; SIGQUIT ends it at once, and the next session cleans up then\n")
            return
        self._ending = True
        raise Ended("%s: the finalisers run" % signal.Signals(number).name)

    def pytest_exception_interact(self, call: pytest.CallInfo[Any]) -> None:
        """End the session if the sync within a test took a signal that was meant for the session."""
        error = call.excinfo.value if call.excinfo else None
        if type(error).__name__ == "CancelledError" and str(error).startswith("Ended by SIG") and not self._ending:
            self._ending = True
            raise Ended(str(error))

    def pytest_runtest_logfinish(self) -> None:
        """Repeat what the test, or the failure of one of its finalisers, has hidden."""
        if self._ending:
            raise Ended("a signal came during the test before")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """Know the workers."""
        self._nodes.append(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Clean up after a worker that was killed."""
        self._left_behind += getattr(node, "workeroutput", {}).get("left_behind", ())
        if error:
            remove_leftovers()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Remove what the finalisers left; innermost, so that a worker does it before it says that it has ended."""
        try:
            return (yield)
        finally:
            self._ending = True
            self._left_behind += remove_leftovers(own=True)
            if self._worker:
                getattr(session.config, "workeroutput")["left_behind"] = self._left_behind  # noqa: B009

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def end_workers(self) -> None:
        """Have the workers end through their finalisers, before pytest-xdist kills them ten seconds later."""
        self._ending = True
        deadline = time.monotonic() + PATIENCE
        while (left := [node for node in self._nodes if _runs(node)]) and time.monotonic() < deadline:
            for node in left:
                _process(node).send_signal(signal.SIGTERM)
            again = time.monotonic() + AGAIN
            while any(map(_runs, left)) and time.monotonic() < again:
                time.sleep(0.01)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what tests left that should have removed it."""
        if self._left_behind and not self._worker:
            terminalreporter.section("left behind by tests and removed")
            for line in self._left_behind:
                terminalreporter.line(line)


def _process(node: Any) -> subprocess.Popen:
    return node.gateway._io.popen


def _runs(node: Any) -> bool:
    """Whether a worker has neither reported the end of its session nor died."""
    return not hasattr(node, "workeroutput") and _process(node).poll() is None


def remove_leftovers(own: bool = False) -> list[str]:
    """Remove what dead processes left, and with ``own`` what this one left. Returns its own devices and images.

    Does nothing without root, who alone can make any.
    """
    if os.geteuid():
        return []
    argv = [sys.executable, "-m", "tests.support.leftovers", *([owner.tag()] if own else [])]
    run = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return run.stdout.splitlines()
