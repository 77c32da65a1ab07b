# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Runs steps and undoes them in reverse order. Each step is recorded before it is executed (write-ahead)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Sequence

from ..errors import BlksyncError, DeviceGoneError, QuiesceError, RestoreError
from .actions.base import Action, NotPossibleError, cannot
from .actions.freeze import Freeze
from .actions.journald import RelinquishJournal
from .actions.unmount import RemountReadOnly, Unmount
from .step import FREEZE, JOURNAL, UNMOUNT, Step, StepRecord, StepReport

# What a step is tried with, in this order.
_ACTIONS: dict[str, tuple[type[Action], ...]] = {
    JOURNAL: (RelinquishJournal,),
    UNMOUNT: (Unmount, RemountReadOnly),
    FREEZE: (Freeze, Unmount, RemountReadOnly),
}
_BY_NAME = {action.action: action for actions in _ACTIONS.values() for action in actions}


RESTORE_HINT = "Look into the kernel log (dmesg), then run: blksync restore-state"


def describe(error: BaseException) -> str:
    """An error that nobody expected, in words."""
    if isinstance(error, OSError):
        return str(error)
    return "%s: %s" % (type(error).__name__, error) if str(error) else type(error).__name__


@dataclass(frozen=True)
class Failure:
    """Something that could not be put back; ``hint`` is what a person runs.

    ``devno`` is the device that it is about, or "". ``gone``: that is there no more, and nothing is left to try.
    """

    message: str
    hint: str
    devno: str = ""
    gone: bool = False


class Execution:
    """The steps that are done and not yet undone.

    ``record`` is called with all records before anything is done that they do not say yet, and after each undoing,
    so that whoever keeps the last record can put everything back. Undoing what was not done is harmless.
    ``unwanted`` is as Action has it. ``disturbances`` say what did not hold still until the last undo();
    ``attempts`` are all records of the last carry_out(), those that were given up included.
    """

    def __init__(
        self,
        record: Callable[[list[StepRecord]], None],
        records: Sequence[StepRecord] = (),
        unwanted: Callable[[], str] = lambda: "",
    ) -> None:
        self._record = record
        self._unwanted = unwanted
        self.records = list(records)
        self.disturbances: list[str] = []
        self.attempts: list[StepRecord] = []
        self._prepared: dict[Step, dict[str, Action]] = {}

    def prepare(self, steps: Sequence[Step]) -> None:
        """Everything slow that stops nobody. Raises QuiesceError."""
        for step in steps:
            try:
                self._action(step, _ACTIONS[step.kind][0].action).prepare()
            except QuiesceError:
                if not step.nested:
                    raise
            except OSError as error:
                raise cannot("quiesce", step, error) from error

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Do every step. Raises BlksyncError with all of them undone, or RestoreError where that failed."""
        self.attempts = []
        try:
            for step in steps:
                self.prepare([step])
            for step in steps:
                self._carry_out_one(step)
        except (BlksyncError, OSError) as error:
            failures = self.undo()
            if failures:
                raise restore_error(failures) from error
            if isinstance(error, BlksyncError):
                raise
            raise cannot("quiesce", step, error) from error

    def _carry_out_one(self, step: Step) -> None:
        reasons: list[str] = []
        for kind in _ACTIONS[step.kind][: 1 if step.nested else None]:
            record = StepRecord(step, kind.action, time.monotonic())
            self.records.append(record)
            self.attempts.append(record)
            self._record(self.records)
            action = self._action(step, kind.action)
            try:
                action.do()
                return
            except NotPossibleError as error:
                reasons.append(str(error))
                self._forget(record)
            except QuiesceError:
                self._forget(record)
                if not step.nested:
                    raise
            finally:
                record.stopped, record.resumed, record.note = action.stopped, action.resumed, action.note
        if not step.nested:
            raise QuiesceError("%s cannot be made to hold still: %s." % (step.device, ", ".join(reasons)))

    def _forget(self, record: StepRecord) -> None:
        """An action that was not taken must not be undone: what is frozen may have been frozen by somebody else."""
        record.ended = time.monotonic()
        self.records.remove(record)
        self._record(self.records)

    def undo(self) -> list[Failure]:
        """Undo the steps in reverse order, also if some of them fail. What failed can be undone again, but for
        what lay on a device that is gone: that is over."""
        failures: list[Failure] = []
        self.disturbances = []
        for record in reversed(self.records):
            if record.ended is not None:
                continue
            action = self._action(record.step, record.action)
            try:
                disturbance = action.undo()
            except DeviceGoneError as error:
                failures.append(Failure(error.message, error.hint, record.step.backing_devno, gone=True))
                record.ended = time.monotonic()
            except BlksyncError as error:
                failures.append(Failure(error.message, error.hint, record.step.backing_devno))
            except Exception as error:  # noqa: BLE001  # whatever it is, the others are put back
                message = "Cannot restore %s: %s." % (record.step.name, describe(error))
                failures.append(Failure(message, RESTORE_HINT, record.step.backing_devno))
            else:
                record.ended, record.resumed = time.monotonic(), action.resumed
                self.disturbances += [disturbance] if disturbance else []
        self._record([record for record in self.records if record.ended is None])
        return failures

    def waits(self) -> list[StepReport]:
        """Reports of what writers had to wait for in the last carry_out(), although it failed."""
        return [record.report(time.monotonic()) for record in self.attempts if record.stopped is not None]

    def wait(self) -> None:
        """Until the kernel has ended what could not be undone before."""
        for record in self.records:
            self._action(record.step, record.action).wait()

    def finish(self) -> None:
        """Forget all records and let go of everything that was prepared."""
        self.records = []
        for actions in self._prepared.values():
            for action in actions.values():
                action.close()
        self._prepared = {}

    def _action(self, step: Step, name: str) -> Action:
        actions = self._prepared.setdefault(step, {})
        if name not in actions:
            actions[name] = _BY_NAME[name](step, self._unwanted)
        return actions[name]


def restore_error(failures: Sequence[Failure]) -> RestoreError:
    """All failures as one exception."""
    return RestoreError(
        "Not everything could be put back: %s" % " ".join(failure.message for failure in failures),
        " ".join(failure.hint for failure in failures),
    )
