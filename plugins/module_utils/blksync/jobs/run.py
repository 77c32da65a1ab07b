# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One run of a job: syncs each backup disk that is plugged in, one after the other, and records each result.

The history, the textfile and the notification may touch a file system that ``disk_sync.run`` freezes: they follow
after it has returned or raised, when everything is put back. If it could not put everything back (RestoreError),
nothing is written: the mark of the run stays, and ``blksync status`` shows it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Sequence

from ..discovery.model import Machine
from ..discovery.observe import observe as observe_machine
from ..errors import BlksyncError, CancelledError, RestoreError, UntrustedError
from ..options import SyncRequest
from ..sync import disk_sync
from ..sync.monitor import Progress
from ..sync.result import SyncReport
from . import history
from .config import Job
from .run_lock import Mark, RunningMark
from .targets import without_strangers
from .values import JobTarget

Observe = Callable[[], Machine]


@dataclass(frozen=True)
class Result:
    """What came of one target: the report, the error, or both; ``report`` is None if nothing had begun."""

    identifier: str
    report: SyncReport | None
    error: BlksyncError | None = None

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for the user."""
        return self.report.warnings if self.report and not self.error else ()

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked for the end, perhaps when this target was as good as done."""
        if self.error:
            return isinstance(self.error, CancelledError)
        return bool(self.report and self.report.interrupted)


@dataclass(frozen=True)
class JobOutcome:
    """What came of a job's run. ``unrecorded`` says why the history lacks something, else it is empty."""

    results: tuple[Result, ...]
    unrecorded: str = ""

    @property
    def settled(self) -> bool:
        """Whether everything was put back, so that files may be written."""
        return not any(isinstance(result.error, RestoreError) for result in self.results)


def compare(
    job: Job, targets: Sequence[JobTarget], progress: Progress, observe: Observe = observe_machine
) -> JobOutcome:
    """A check run on each target: reads everything, writes nothing, not even the history."""
    return JobOutcome(tuple(_one(job, target, True, progress, observe) for target in targets))


def carry_out(
    job: Job, targets: Sequence[JobTarget], directory: str, progress: Progress, observe: Observe = observe_machine
) -> JobOutcome:
    """Sync each target and add it to the history in ``directory``; a signal ends it all, another error that target.

    Raises DeviceBusyError if the job runs already, OSError if ``directory`` cannot be written to begin with.
    """
    mark = RunningMark(job.name, directory)
    left = mark.begin(time.time())
    results: list[Result] = []
    unrecorded = ""
    try:
        if left:
            unrecorded = _record(job.name, directory, _killed(left))
        for target in targets:
            started, clock = time.time(), time.monotonic()
            result = _one(job, target, False, progress, observe)
            results.append(result)
            if isinstance(result.error, RestoreError):
                return JobOutcome(tuple(results), "something is not put back yet")
            duration = time.monotonic() - clock
            run = history.run_of(result.identifier, started, time.time(), duration, result.report, result.error)
            unrecorded = _record(job.name, directory, run) or unrecorded
            if result.interrupted:
                break
        mark.end()
    finally:
        mark.release()
    return JobOutcome(tuple(results), unrecorded)


def _one(job: Job, target: JobTarget, check: bool, progress: Progress, observe: Observe) -> Result:
    return sync_once(target.identifier, job.request(target, check), progress, without_strangers(observe, job, target))


def sync_once(identifier: str, request: SyncRequest, progress: Progress, observe: Observe = observe_machine) -> Result:
    """One sync with one target, whatever comes of it."""
    try:
        return Result(identifier, disk_sync.run(request, progress, observe))
    except BlksyncError as error:
        return Result(identifier, error.report if isinstance(error.report, SyncReport) else None, error)


def _record(name: str, directory: str, run: history.Run) -> str:
    """Add to the history. A sync that succeeded does not fail for want of it: returns what went wrong, or ""."""
    try:
        history.append(name, run, directory)
    except (OSError, UntrustedError) as error:
        return str(error)
    return ""


def _killed(mark: Mark) -> history.Run:
    return history.Run(
        start=mark.start,
        end=None,
        duration=None,
        identifier="",
        error_kind="interrupted",
        error_message="The run did not come to its end: it was killed, or the machine stopped.",
    )
