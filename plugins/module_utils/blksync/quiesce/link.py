# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The sync's end of the channel to its guardian. If the guardian is gone, the sync restores by itself."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from typing import Any

from ..errors import QuiesceError, RestoreError
from ..system.processes import identify, is_alive, waits_in_kernel
from .channel import Channel, ChannelClosedError
from .recovery import StateFile
from .runner import Execution, Failure, restore_error
from .step import FROZEN, StepRecord

ANSWER_PATIENCE = 60.0  # seconds beyond what was asked for
DEATH_PATIENCE = 20.0
POLL = 0.05


class Link:
    """The sync's end of the channel, and what it was told. Takes over where the guardian is gone."""

    def __init__(self, channel: Channel, pid: int, state: StateFile) -> None:
        self.entries: list[StepRecord] = []
        self._channel = channel
        self._process = identify(pid)
        self._state = state
        self._lost = False
        self._restored: dict[str, Any] | None = None

    def ask(self, message: dict[str, Any], patience: float) -> dict[str, Any]:
        """Send and wait for the answer. Raises QuiesceError or RestoreError, with everything put back by then."""
        self._restored = None
        try:
            self._channel.send(message)
            answer = self._answer(patience)
        except ChannelClosedError:
            failures = self._take_over()
            error = restore_error(failures) if failures else not_still("the guardian process ended unexpectedly")
            error.steps = [entry.report(time.monotonic()) for entry in self.entries if entry.action == FROZEN]
            raise error from None
        if "failed" in answer:
            kind = RestoreError if answer["failed"] == RestoreError.kind else QuiesceError
            error = kind(answer["message"], answer["hint"])
            error.steps = answer["steps"]
            raise error
        if "restored" in answer:  # by itself, and then it did what it was asked for
            self.restore()
            raise not_still(answer["reason"])
        return answer

    def restore(self) -> tuple[list[StepRecord], list[Failure], str]:
        """Put everything back. Returns the entries, what failed, and why it had not held still (empty: it had)."""
        reason = ""
        try:
            if not self._lost and self._restored is None:
                self._channel.send({"do": "restore"})
                while self._restored is None:
                    answer = self._answer(ANSWER_PATIENCE)
                    self._restored = answer if "restored" in answer else None
        except ChannelClosedError:
            self._lost = True
        if self._restored is not None:
            entries = [StepRecord.from_data(entry) for entry in self._restored["restored"]]
            failures = [Failure(**failure) for failure in self._restored["failures"]]
            reason, self._restored = self._restored["reason"], None
            return entries, failures, reason
        failures = self._take_over()
        return self.entries, failures, "the guardian process ended unexpectedly"

    def check(self) -> None:
        """Raise QuiesceError where the guardian restored on its own or is gone."""
        if self._lost:
            raise not_still("the guardian process ended unexpectedly")
        if self._restored is None and self._channel.has_news():
            try:
                self._restored = self._answer(ANSWER_PATIENCE)
            except ChannelClosedError:
                self._lost = True
                raise not_still("the guardian process ended unexpectedly") from None
        if self._restored is not None:
            raise not_still(self._restored["reason"])

    def end(self) -> None:
        """Let the guardian go; it restores first what still needs it."""
        with contextlib.suppress(ChannelClosedError):
            self._channel.send({"do": "end"})
            while self._channel.receive(DEATH_PATIENCE) is not None:
                pass
        self._channel.close()

    def _answer(self, patience: float) -> dict[str, Any]:
        """The next message that is an answer; the others keep ``entries`` up to date.

        A guardian that does not answer is killed. Raises ChannelClosedError.
        """
        deadline = time.monotonic() + patience
        while True:
            message = self._channel.receive(max(0.0, deadline - time.monotonic()))
            if message is None:
                self._ended(kill=True)
                raise ChannelClosedError
            if "entries" not in message:
                return message
            self.entries = [StepRecord.from_data(entry) for entry in message["entries"]]

    def _ended(self, kill: bool) -> bool:
        """Whether the guardian and all that it has forked is gone within DEATH_PATIENCE: they hold the channel.

        ``kill``: SIGKILL helps, but never while it waits in the kernel: what it does there would be done all the same,
        and nobody would be left to undo it.
        """
        deadline = time.monotonic() + DEATH_PATIENCE
        while time.monotonic() < deadline:
            if kill and is_alive(self._process) and not waits_in_kernel(self._process["pid"]):
                os.kill(self._process["pid"], signal.SIGKILL)
            try:
                message = self._channel.receive(POLL)
            except ChannelClosedError:
                return True
            if message and "entries" in message:
                self.entries = [StepRecord.from_data(entry) for entry in message["entries"]]
        return False

    def _take_over(self) -> list[Failure]:
        """Do what the guardian cannot do any more. While it lives the state file stays, and all is left to it."""
        self._lost = True
        if not self._ended(kill=False):
            self._channel.close()  # so it restores as soon as it can
            return [_still_at_work(entry, self._process["pid"]) for entry in self.entries if entry.ended is None]
        execution = Execution(lambda _entries: None, self.entries)
        failures = execution.undo()
        self.entries = execution.entries
        if all(failure.gone for failure in failures):
            self._state.remove()
        return failures


def _still_at_work(entry: StepRecord, pid: int) -> Failure:
    places = ", ".join(entry.step.mountpoints) or "the system log"
    return Failure(
        "%s is not restored: the process %d that does it hangs in the kernel." % (places, pid),
        "It restores as soon as it can. Should it not: %s."
        % (
            "fsfreeze --unfreeze %s" % shlex.quote(entry.step.mountpoints[0])
            if entry.action == FROZEN
            else "blksync restore-state, once that process is gone"
        ),
    )


def not_still(reason: str) -> QuiesceError:
    """The error for a source that was not quiesced until the end."""
    return QuiesceError(
        "The source did not hold still until the end: %s." % reason, "The copy is inconsistent; run again."
    )
