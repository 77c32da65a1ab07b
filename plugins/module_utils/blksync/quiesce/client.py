# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The interface of quiescing for a sync: prepare, quiesce, check, restore."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from types import TracebackType
from typing import Iterator, Sequence

from ..errors import BlksyncError, DeviceBusyError, QuiesceError
from ..paths import RUN_DIR
from ..system import io_priority, libc
from ..system.device import Device, open_source
from ..system.mountinfo import read_mounts
from . import guardian, systemd_scope
from .link import ANSWER_PATIENCE, Link, not_still
from .messages import Prepare, Quiesce
from .open_files import describe_users, is_written
from .plan import QuiescePlan, disturbance
from .recovery import StateFile
from .runner import Failure, restore_error
from .step import JOURNAL, UNMOUNT, Step, StepRecord, StepReport

_IDLE = "The I/O class of the copy stays idle while file systems are frozen, so they may stay frozen for longer: %s."


class Quiesced:
    """The sources that are quiesced at this moment, one after the other by ``add``. All are put back together.

    ``released``: they have been put back, or were tried to.
    """

    def __init__(self, quiescer: Quiescer) -> None:
        self.released = False
        self._quiescer = quiescer
        self._plans: list[QuiescePlan] = []
        self._records: list[StepRecord] | None = None  # final after the restoring

    def add(self, plan: QuiescePlan) -> None:
        """Quiesce one more source. Raises QuiesceError with everything put back if that cannot be, RestoreError."""
        self._plans.append(plan)
        try:
            self._quiescer.carry_out(plan)
        except BlksyncError:
            self.released = True
            raise

    @property
    def waiting(self) -> bool:
        """Whether a file system is frozen or unmounted, so that programs may wait."""
        return not self.released and any(plan.steps for plan in self._plans)

    @property
    def report(self) -> list[StepReport]:
        """What was done to all file systems, as report_of() has it."""
        return [report for plan in self._plans for report in self.report_of(plan)]

    def report_of(self, plan: QuiescePlan) -> list[StepReport]:
        """What was done to the file systems of one source. The seconds are final after the restoring."""
        now = time.monotonic()
        records = self._quiescer.records if self._records is None else self._records
        return [record.report(now) for record in records if record.step.kind != JOURNAL and record.step in plan.steps]

    def attempts_of(self, plan: QuiescePlan) -> list[StepReport]:
        """The file systems of one source that the last add() froze in vain."""
        devices = [step.device for step in plan.steps]
        return [report for report in self._quiescer.attempts if report.device in devices]

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
            raise not_still(reason)

    def check(self) -> None:
        """Raise QuiesceError if a file system that was read-only is mounted for writing."""
        reason = self._disturbance()
        if reason:
            raise not_still(reason)

    def abandon(self, error: BaseException) -> None:
        """The copy failed by ``error``: put everything back.

        Raises RestoreError; and QuiesceError where the restoring shows why the source was written to.
        """
        reason = "" if self.released else self._put_back(error)
        if reason and isinstance(error, QuiesceError):
            raise not_still(reason) from error

    def _disturbance(self) -> str:
        mounts = read_mounts()
        return next(filter(None, (disturbance(plan, mounts) for plan in self._plans)), "")

    def _put_back(self, error: BaseException | None) -> str:
        self.released = True
        if not any(plan.steps for plan in self._plans):
            return ""
        self._records, failures, reason = self._quiescer.restore()
        if failures:
            raise restore_error(failures) from error
        return reason


class Quiescer:
    """Quiesces the pairs of one run, one after the other. A context manager; nothing is started before prepare().

    ``timeout`` is how many seconds sources may be quiesced, one limit for all together; ``label`` what the run is for.
    ``notes`` are sentences for the user.
    """

    def __init__(self, timeout: float, label: str, directory: str = RUN_DIR) -> None:
        self.timeout = timeout
        self.label = label
        self.notes: list[str] = []
        self._dir = directory
        self._claims: list[Device] = []
        self._link: Link | None = None
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
        """Everything slow: claims of what is idle, the guardian, memory, open directories. Raises QuiesceError."""
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
        channel, pid, notes = guardian.start(self.label, self._dir)
        self._link = Link(channel, pid, StateFile(self.label, os.getpid(), pid, self._dir))
        self.notes += notes
        self.notes += [problem for problem in [systemd_scope.move_to_scope(pid)] if problem]
        sys.dont_write_bytecode = True
        problem = libc.lock_memory()
        self.notes += ["The sync could not be locked in memory: %s." % problem] if problem else []
        self._link.ask(Prepare(tuple(steps)), ANSWER_PATIENCE)

    @contextlib.contextmanager
    def quiesced(self, *plans: QuiescePlan) -> Iterator[Quiesced]:
        """The sources of ``plans``, and those that are added, are quiesced inside.

        Raises QuiesceError with everything put back if that cannot be, or if it did not last until the end;
        RestoreError, with the commands to run, where something could not be put back.
        """
        self._state = state = Quiesced(self)
        priority = io_priority.get()
        try:
            for plan in plans:
                state.add(plan)
            yield state
        except BaseException as error:
            state.abandon(error)
            raise
        else:
            state.release()
        finally:
            if priority is not None:
                io_priority.put(priority)

    def check(self) -> None:
        """Raise QuiesceError if a source is no longer quiesced. Cheap."""
        if self._link and not (self._state and self._state.released):
            self._link.check()

    def carry_out(self, plan: QuiescePlan) -> None:
        """Do the steps of one plan, after those that are done already. Raises QuiesceError, RestoreError."""
        if not plan.steps:
            return
        if not self._link:
            raise QuiesceError("Nothing was prepared for %s." % plan.device)
        idle = io_priority.leave_idle()  # programs are about to wait
        problem = self._link.ask(Quiesce(plan.steps, self.timeout), self.timeout + ANSWER_PATIENCE)
        said = [problem, idle and _IDLE % idle, *(record.note for record in self.records)]
        self.notes += [each for each in dict.fromkeys(said) if each and each not in self.notes]

    def restore(self) -> tuple[list[StepRecord], list[Failure], str]:
        """Undo all steps. Returns the records, what failed, and why a source was not quiesced (empty: it was)."""
        return self._link.restore() if self._link else ([], [], "")

    @property
    def records(self) -> list[StepRecord]:
        """The steps that are done and not undone."""
        return list(self._link.records) if self._link else []

    @property
    def attempts(self) -> list[StepReport]:
        """The file systems that the last carry_out() froze in vain."""
        return list(self._link.attempts) if self._link else []


def _expect_no_writers(step: Step) -> None:
    """What cannot be frozen has to be unmounted or made read-only, and an open file forbids both: better known now
    than at its own turn, after other partitions were copied."""
    if step.kind == UNMOUNT and is_written(step.mounts, step.devno):
        raise QuiesceError(
            "%s can be neither unmounted nor remounted read-only: files on it are open for writing; it is used by %s."
            % (", ".join(step.mountpoints), ", ".join(describe_users(step.mounts, step.devno)) or "a program"),
            "Nothing was written. End what uses it and run again.",
        )
