# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Runs steps and undoes them in reverse order. Each step is recorded before it is executed (write-ahead)."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Callable, Sequence

from ..errors import BlksyncError, DeviceGoneError, QuiesceError, RestoreError
from .actions.base import Action, NotPossibleError, cannot
from .actions.freeze import Freeze
from .actions.journald import RelinquishJournal
from .actions.unmount import RemountReadOnly, Unmount
from .step import FREEZE, JOURNAL, UNMOUNT, Step, StepRecord

# What a step is tried with, in this order.
_MEASURES: dict[str, tuple[type[Action], ...]] = {
    JOURNAL: (RelinquishJournal,),
    UNMOUNT: (Unmount, RemountReadOnly),
    FREEZE: (Freeze, Unmount, RemountReadOnly),
}
_BY_ACTION = {measure.action: measure for measures in _MEASURES.values() for measure in measures}


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

    def to_data(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Execution:
    """The steps that are done and not yet undone.

    ``record`` is called with all entries before anything is done that they do not say yet, and after each undoing,
    so that whoever keeps the last record can put everything back. Undoing what was not done is harmless.
    ``unwanted`` is as Measure has it. ``disturbances`` say what did not hold still until the last undo();
    ``attempts`` are all entries of the last carry_out(), those that were given up included.
    """

    def __init__(
        self,
        record: Callable[[list[StepRecord]], None],
        entries: Sequence[StepRecord] = (),
        unwanted: Callable[[], str] = lambda: "",
    ) -> None:
        self._record = record
        self._unwanted = unwanted
        self.entries = list(entries)
        self.disturbances: list[str] = []
        self.attempts: list[StepRecord] = []
        self._measures: dict[Step, dict[str, Action]] = {}

    def prepare(self, steps: Sequence[Step]) -> None:
        """Everything slow that stops nobody. Raises QuiesceError."""
        for step in steps:
            try:
                self._measure(step, _MEASURES[step.kind][0].action).prepare()
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
        for kind in _MEASURES[step.kind]:
            entry = StepRecord(step, kind.action, time.monotonic())
            self.entries.append(entry)
            self.attempts.append(entry)
            self._record(self.entries)
            measure = self._measure(step, kind.action)
            try:
                measure.do()
                return
            except NotPossibleError as error:
                reasons.append(str(error))
                self._forget(entry)
            except QuiesceError:
                self._forget(entry)
                raise
            finally:
                entry.stopped, entry.resumed = measure.stopped, measure.resumed
        raise QuiesceError("%s cannot be made to hold still: %s." % (step.device, ", ".join(reasons)))

    def _forget(self, entry: StepRecord) -> None:
        """A measure that was not taken must not be undone: what is frozen may have been frozen by somebody else."""
        entry.ended = time.monotonic()
        self.entries.remove(entry)
        self._record(self.entries)

    def undo(self) -> list[Failure]:
        """Undo the last first, and every one whatever becomes of the others. What failed can be undone again, but for
        what lay on a device that is gone: that is over."""
        failures: list[Failure] = []
        self.disturbances = []
        for entry in reversed(self.entries):
            if entry.ended is not None:
                continue
            measure = self._measure(entry.step, entry.action)
            try:
                disturbance = measure.undo()
            except DeviceGoneError as error:
                failures.append(Failure(error.message, error.hint, entry.step.carrier, gone=True))
                entry.ended = time.monotonic()
            except BlksyncError as error:
                failures.append(Failure(error.message, error.hint, entry.step.carrier))
            except Exception as error:  # noqa: BLE001  # whatever it is, the others are put back
                message = "Cannot restore %s: %s." % (entry.step.name, describe(error))
                failures.append(Failure(message, RESTORE_HINT, entry.step.carrier))
            else:
                entry.ended, entry.resumed = time.monotonic(), measure.resumed
                self.disturbances += [disturbance] if disturbance else []
        self._record([entry for entry in self.entries if entry.ended is None])
        return failures

    def waits(self) -> list[dict[str, Any]]:
        """Reports of what writers had to wait for in the last carry_out(), although it failed."""
        return [entry.report(time.monotonic()) for entry in self.attempts if entry.stopped is not None]

    def wait(self) -> None:
        """Until the kernel has ended what could not be undone before."""
        for entry in self.entries:
            self._measure(entry.step, entry.action).wait()

    def finish(self) -> None:
        """Forget all entries and let go of everything that was prepared."""
        self.entries = []
        for measures in self._measures.values():
            for measure in measures.values():
                measure.close()
        self._measures = {}

    def _measure(self, step: Step, action: str) -> Action:
        measures = self._measures.setdefault(step, {})
        if action not in measures:
            measures[action] = _BY_ACTION[action](step, self._unwanted)
        return measures[action]


def restore_error(failures: Sequence[Failure]) -> RestoreError:
    """All failures as one exception."""
    return RestoreError(
        "Not everything could be put back: %s" % " ".join(failure.message for failure in failures),
        " ".join(failure.hint for failure in failures),
    )
