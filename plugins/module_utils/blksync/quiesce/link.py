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

from ..errors import QuiesceError, RestoreError
from ..system.processes import identify, is_alive, waits_in_kernel
from .channel import Channel, ChannelClosedError
from .messages import Done, End, Failed, MalformedMessageError, Message, Records, Restore, Restored
from .recovery import StateFile
from .runner import Execution, Failure, restore_error
from .step import FROZEN, StepRecord, StepReport

ANSWER_PATIENCE = 60.0  # seconds beyond what was asked for
DEATH_PATIENCE = 20.0
POLL = 0.05


class Link:
    """The sync's end of the channel, with the last records. Takes over if the guardian is gone.

    ``records`` are the steps that are done and not undone, ``attempts`` the file systems that were frozen in vain by
    what was asked for last.
    """

    def __init__(self, channel: Channel, pid: int, state: StateFile) -> None:
        self.records: list[StepRecord] = []
        self.attempts: list[StepReport] = []
        self._channel = channel
        self._process = identify(pid)
        self._state = state
        self._lost = False
        self._restored: Restored | None = None

    def ask(self, message: Message, patience: float) -> str:
        """Send and wait until it is done. Returns a sentence for the user, or "".

        Raises QuiesceError or RestoreError, with everything put back by then.
        """
        self._restored = None
        self.attempts = []
        try:
            self._channel.send(message)
            answer = self._answer(patience)
        except ChannelClosedError:
            failures = self._take_over()
            self.attempts = [record.report(time.monotonic()) for record in self.records if record.action == FROZEN]
            error = restore_error(failures) if failures else not_still("the guardian process ended unexpectedly")
            raise error from None
        if isinstance(answer, Failed):
            self.attempts = list(answer.attempts)
            kind = RestoreError if answer.kind == RestoreError.kind else QuiesceError
            raise kind(answer.message, answer.hint)
        if isinstance(answer, Restored):  # by itself, and then it did what it was asked for
            self.restore()
            raise not_still(answer.reason)
        return answer.problem

    def restore(self) -> tuple[list[StepRecord], list[Failure], str]:
        """Put everything back. Returns the records, what failed, and why a source was not quiesced (empty: it was)."""
        try:
            if not self._lost and self._restored is None:
                self._channel.send(Restore())
                while self._restored is None:
                    answer = self._answer(ANSWER_PATIENCE)
                    self._restored = answer if isinstance(answer, Restored) else None
        except ChannelClosedError:
            self._lost = True
        restored, self._restored = self._restored, None
        if restored is not None:
            return list(restored.records), list(restored.failures), restored.reason
        failures = self._take_over()
        return self.records, failures, "the guardian process ended unexpectedly"

    def check(self) -> None:
        """Raise QuiesceError if the guardian restored on its own or is gone."""
        if self._lost:
            raise not_still("the guardian process ended unexpectedly")
        if self._restored is None and self._channel.has_news():
            try:
                answer = self._answer(ANSWER_PATIENCE)
                self._restored = answer if isinstance(answer, Restored) else None
            except ChannelClosedError:
                self._lost = True
                raise not_still("the guardian process ended unexpectedly") from None
        if self._restored is not None:
            raise not_still(self._restored.reason)

    def end(self) -> None:
        """Let the guardian go; it restores first what still needs it."""
        with contextlib.suppress(ChannelClosedError, MalformedMessageError):
            self._channel.send(End())
            while self._channel.receive(DEATH_PATIENCE) is not None:
                pass
        self._channel.close()

    def _answer(self, patience: float) -> Done | Failed | Restored:
        """The next message that is an answer; the others keep ``records`` up to date.

        A guardian that does not answer, or not in these messages, is killed. Raises ChannelClosedError.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                message = self._channel.receive(max(0.0, deadline - time.monotonic()))
            except MalformedMessageError:
                message = None
            if isinstance(message, (Done, Failed, Restored)):
                return message
            if not isinstance(message, Records):
                self._ended(kill=True)
                raise ChannelClosedError
            self.records = list(message.records)

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
            except MalformedMessageError:
                continue
            if isinstance(message, Records):
                self.records = list(message.records)
        return False

    def _take_over(self) -> list[Failure]:
        """Do what the guardian cannot do any more. While it lives the state file stays, and all is left to it."""
        self._lost = True
        if not self._ended(kill=False):
            self._channel.close()  # so it restores as soon as it can
            return [_still_at_work(record, self._process["pid"]) for record in self.records if record.ended is None]
        execution = Execution(lambda _records: None, self.records)
        failures = execution.undo()
        self.records = execution.records
        if all(failure.gone for failure in failures):
            self._state.remove()
        return failures


def _still_at_work(record: StepRecord, pid: int) -> Failure:
    places = ", ".join(record.step.mountpoints) or "the system log"
    return Failure(
        "%s is not restored: the process %d that does it hangs in the kernel." % (places, pid),
        "It restores as soon as it can. Should it not: %s."
        % (
            "fsfreeze --unfreeze %s" % shlex.quote(record.step.mountpoints[0])
            if record.action == FROZEN
            else "blksync restore-state, once that process is gone"
        ),
    )


def not_still(reason: str) -> QuiesceError:
    """The error for a source that was not quiesced until the end."""
    return QuiesceError(
        "The source did not hold still until the end: %s." % reason, "The copy is inconsistent; run again."
    )
