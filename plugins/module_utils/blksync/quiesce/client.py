# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a sync sees of quiescing: prepare, hold still, check, put back."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from types import TracebackType
from typing import Any, Iterator, Sequence

from ..errors import BlksyncError, DeviceBusyError, QuiesceError, RestoreError
from ..paths import RUN_FOLDER
from ..system import libc
from ..system.device import Device, open_source
from ..system.mountinfo import read_mounts
from ..system.processes import identify, is_alive, waits_in_kernel
from . import guardian, systemd_scope
from .channel import Channel, ChannelClosedError
from .open_files import describe_users, is_written
from .plan import QuiescePlan, disturbance
from .recovery import StateFile
from .runner import Execution, Failure, restore_error
from .step import FROZEN, JOURNAL, UNMOUNT, Entry, Step

ANSWER_PATIENCE = 60.0  # seconds beyond what was asked for
DEATH_PATIENCE = 5.0
POLL = 0.05


class Quiesced:
    """The sources that are quiesced at this moment, one after the other by ``add``. All are put back together.

    ``released``: they have been put back, or were tried to.
    """

    def __init__(self, quiescer: Quiescer) -> None:
        self.released = False
        self._quiescer = quiescer
        self._plans: list[QuiescePlan] = []
        self._entries: list[Entry] | None = None  # final after the restoring

    def add(self, plan: QuiescePlan) -> None:
        """Quiesce one more source. Raises QuiesceError with everything put back where that cannot be, RestoreError."""
        self._plans.append(plan)
        try:
            self._quiescer.carry_out(plan)
        except BlksyncError:
            self.released = True
            raise

    @property
    def report(self) -> list[dict[str, Any]]:
        """What was done to all file systems, as report_of() has it."""
        return [entry for plan in self._plans for entry in self.report_of(plan)]

    def report_of(self, plan: QuiescePlan) -> list[dict[str, Any]]:
        """What was done to the file systems of one source: an entry for each, as ``step.Entry.report`` makes it.

        The seconds are final after the restoring.
        """
        now = time.monotonic()
        entries = self._quiescer.entries if self._entries is None else self._entries
        return [entry.report(now) for entry in entries if entry.step.kind != JOURNAL and entry.step in plan.steps]

    def release(self) -> None:
        """The sources have been read for the last time: put everything back, now and not at the end of the context.

        Raises QuiesceError if one was not quiesced until now, RestoreError if something could not be put back.
        Does nothing the second time.
        """
        if self.released:
            return
        disturbed = self._disturbance()
        reason = self._put_back(None) or disturbed
        if reason:
            raise _not_still(reason)

    def check(self) -> None:
        """Raise QuiesceError if a file system that was read-only is mounted for writing."""
        reason = self._disturbance()
        if reason:
            raise _not_still(reason)

    def abandon(self, error: BaseException) -> None:
        """The copy failed by ``error``: put everything back.

        Raises RestoreError; and QuiesceError where the restoring shows why the source was written to.
        """
        reason = "" if self.released else self._put_back(error)
        if reason and isinstance(error, QuiesceError):
            raise _not_still(reason) from error

    def _disturbance(self) -> str:
        mounts = read_mounts()
        return next(filter(None, (disturbance(plan, mounts) for plan in self._plans)), "")

    def _put_back(self, error: BaseException | None) -> str:
        self.released = True
        if not any(plan.steps for plan in self._plans):
            return ""
        self._entries, failures, reason = self._quiescer.restore()
        if failures:
            raise restore_error(failures) from error
        return reason


class Quiescer:
    """Quiesces the pairs of one run, one after the other. A context manager; nothing is started before prepare().

    ``timeout`` is how many seconds one pair may be quiesced, ``label`` what the run is for. ``notes`` are sentences
    for the user.
    """

    def __init__(self, timeout: float, label: str, folder: str = RUN_FOLDER) -> None:
        self.timeout = timeout
        self.label = label
        self.notes: list[str] = []
        self._folder = folder
        self._claims: list[Device] = []
        self._link: _Link | None = None
        self._state: Quiesced | None = None
        self._wrote_bytecode = sys.dont_write_bytecode

    def __enter__(self) -> Quiescer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for claim in self._claims:
            claim.close()
        self._claims = []
        if self._link:
            self._link.end()
            self._link = None
            libc.unlock_memory()
            sys.dont_write_bytecode = self._wrote_bytecode

    def prepare(self, plans: Sequence[QuiescePlan]) -> None:
        """Everything slow: claims of what is idle, the guardian, memory, open folders. Raises QuiesceError."""
        for claim in dict.fromkeys(claim for plan in plans for claim in plan.claims):
            try:
                self._claims.append(open_source(claim.path, claim.devno, exclusive=True))
            except DeviceBusyError as error:
                raise QuiesceError(
                    "%s lies on the source and is in use, though not mounted here." % claim.path,
                    "Look for a mount in a container, a virtual machine or another volume manager.",
                ) from error
        steps = [step for plan in plans for step in plan.steps]
        if not steps:
            return
        for step in steps:
            _expect_no_writers(step)
        channel, pid, notes = guardian.start(self.label, self._folder)
        self._link = _Link(channel, pid, StateFile(self.label, os.getpid(), pid, self._folder))
        self.notes += notes
        self.notes += [problem for problem in [systemd_scope.move_to_scope(pid)] if problem]
        sys.dont_write_bytecode = True
        problem = libc.lock_memory()
        self.notes += ["The sync could not be locked in memory: %s." % problem] if problem else []
        self._link.ask({"do": "prepare", "steps": [step.to_data() for step in steps]}, ANSWER_PATIENCE)

    @contextlib.contextmanager
    def quiesced(self, *plans: QuiescePlan) -> Iterator[Quiesced]:
        """The sources of ``plans``, and those that are added, are quiesced inside.

        Raises QuiesceError with everything put back where that cannot be, or where it did not last until the end;
        RestoreError, with the commands to run, where something could not be put back.
        """
        self._state = state = Quiesced(self)
        try:
            for plan in plans:
                state.add(plan)
            yield state
        except BaseException as error:
            state.abandon(error)
            raise
        state.release()

    def check(self) -> None:
        """Raise QuiesceError where a source is no longer quiesced. Cheap."""
        if self._link and not (self._state and self._state.released):
            self._link.check()

    def carry_out(self, plan: QuiescePlan) -> None:
        """Do the steps of one plan, after those that are done already. Raises QuiesceError, RestoreError."""
        if not plan.steps:
            return
        if not self._link:
            raise QuiesceError("Nothing was prepared for %s." % plan.device)
        answer = self._link.ask(
            {"do": "quiesce", "steps": [step.to_data() for step in plan.steps], "timeout": self.timeout},
            self.timeout + ANSWER_PATIENCE,
        )
        problem = answer.get("problem")
        self.notes += [problem] if problem and problem not in self.notes else []

    def restore(self) -> tuple[list[Entry], list[Failure], str]:
        """Undo all steps. Returns the entries, what failed, and why a source was not quiesced (empty: it was)."""
        return self._link.restore() if self._link else ([], [], "")

    @property
    def entries(self) -> list[Entry]:
        """The steps that are done and not undone."""
        return list(self._link.entries) if self._link else []


class _Link:
    """The sync's end of the channel, and what it was told. Takes over where the guardian is gone."""

    def __init__(self, channel: Channel, pid: int, state: StateFile) -> None:
        self.entries: list[Entry] = []
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
            error = restore_error(failures) if failures else _not_still("the guardian process ended unexpectedly")
            error.steps = [entry.report(time.monotonic()) for entry in self.entries if entry.action == FROZEN]
            raise error from None
        if "failed" in answer:
            kind = RestoreError if answer["failed"] == RestoreError.kind else QuiesceError
            error = kind(answer["message"], answer["hint"])
            error.steps = answer["steps"]
            raise error
        if "restored" in answer:  # by itself, and then it did what it was asked for
            self.restore()
            raise _not_still(answer["reason"])
        return answer

    def restore(self) -> tuple[list[Entry], list[Failure], str]:
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
            entries = [Entry.from_data(entry) for entry in self._restored["restored"]]
            failures = [Failure(**failure) for failure in self._restored["failures"]]
            reason, self._restored = self._restored["reason"], None
            return entries, failures, reason
        failures = self._take_over()
        return self.entries, failures, "the guardian process ended unexpectedly"

    def check(self) -> None:
        """Raise QuiesceError where the guardian restored on its own or is gone."""
        if self._lost:
            raise _not_still("the guardian process ended unexpectedly")
        if self._restored is None and self._channel.has_news():
            try:
                self._restored = self._answer(ANSWER_PATIENCE)
            except ChannelClosedError:
                self._lost = True
                raise _not_still("the guardian process ended unexpectedly") from None
        if self._restored is not None:
            raise _not_still(self._restored["reason"])

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
            self.entries = [Entry.from_data(entry) for entry in message["entries"]]

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
                self.entries = [Entry.from_data(entry) for entry in message["entries"]]
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


def _expect_no_writers(step: Step) -> None:
    """What cannot be frozen has to be unmounted or made read-only, and an open file forbids both: better known now
    than at its own turn, after other partitions were copied."""
    if step.kind == UNMOUNT and is_written(step.mounts, step.devno):
        raise QuiesceError(
            "%s can be neither unmounted nor remounted read-only: files on it are open for writing; it is used by %s."
            % (", ".join(step.mountpoints), ", ".join(describe_users(step.mounts, step.devno)) or "a program"),
            "Nothing was written. End what uses it and run again.",
        )


def _still_at_work(entry: Entry, pid: int) -> Failure:
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


def _not_still(reason: str) -> QuiesceError:
    return QuiesceError(
        "The source did not hold still until the end: %s." % reason, "The copy is inconsistent; run again."
    )
