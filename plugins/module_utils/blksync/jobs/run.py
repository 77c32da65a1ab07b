# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One run of a job: syncs each backup disk that is plugged in, one after the other.

Notifications and metrics may touch a file system that ``disk_sync.run`` freezes: they come before anything is quiesced,
or after everything is put back. The records are kept by the sync itself (see sync.bookkeeping).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Sequence

from ..discovery.model import Machine
from ..discovery.observe import observe as observe_machine
from ..errors import BlksyncError, CancelledError, RestoreError
from ..options import SyncRequest
from ..records.run import Origin
from ..sync import disk_sync
from ..sync.bookkeeping import Bookkeeping
from ..sync.monitor import Progress, nothing
from ..sync.proposal import Agree
from ..sync.result import SyncReport
from .config import Job
from .targets import without_strangers
from .values import JobTarget

Observe = Callable[[], Machine]
DOOR = "command"


@dataclass(frozen=True)
class Result:
    """What came of one target: the report, the error, or both; ``report`` is None if nothing had begun.

    ``problems`` are sentences on what could not be written down.
    """

    identifier: str
    report: SyncReport | None
    error: BlksyncError | None = None
    problems: Sequence[str] = ()

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for the user."""
        return (*self.report.warnings, *self.problems) if self.report else self.problems

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked for the end, perhaps when this target was as good as done."""
        if self.error:
            return isinstance(self.error, CancelledError)
        return bool(self.report and self.report.interrupted)


@dataclass(frozen=True)
class JobOutcome:
    """What came of a job's run."""

    results: tuple[Result, ...]

    @property
    def settled(self) -> bool:
        """Whether everything was put back, so that files may be written."""
        return not any(isinstance(result.error, RestoreError) for result in self.results)


def compare(
    job: Job, targets: Sequence[JobTarget], progress: Progress, state_dir: str = "", observe: Observe = observe_machine
) -> JobOutcome:
    """A check run on each target: reads everything, writes nothing, not even to the records."""
    return JobOutcome(tuple(_compare(job, target, progress, state_dir, observe) for target in targets))


def verify(
    job: Job, targets: Sequence[JobTarget], progress: Progress, state_dir: str = "", observe: Observe = observe_machine
) -> JobOutcome:
    """Compare each target with the source, whatever somebody else changed on it, and write down what was found.

    A signal ends it all.
    """
    changed_or_not = replace(job, sync=replace(job.sync, discard_changes=True))
    results: list[Result] = []
    for target in targets:
        books = Bookkeeping(Origin(DOOR, job.name), "verify", target.identifier, state_dir)
        seen = without_strangers(observe, job, target)
        result = sync_once(changed_or_not.request(target, check=True), progress, books, seen)
        results.append(replace(result, problems=books.compared(result.report, result.error)))
        if result.interrupted:
            results += _not_begun(targets[len(results) :], result)
            break
    return JobOutcome(tuple(results))


def carry_out(
    job: Job,
    targets: Sequence[JobTarget],
    progress: Progress,
    state_dir: str = "",
    begun: Callable[[], None] = nothing,
    observe: Observe = observe_machine,
) -> JobOutcome:
    """Sync each target; a signal ends it all, another error that target.

    ``begun`` is called for each target when its record says that a run is at work, before anything is quiesced.
    """
    results: list[Result] = []
    for target in targets:
        books = Bookkeeping(Origin(DOOR, job.name), "disk_sync", target.identifier, state_dir, begun)
        result = sync_once(job.request(target), progress, books, without_strangers(observe, job, target))
        results.append(result)
        if result.interrupted or isinstance(result.error, RestoreError):
            results += _not_begun(targets[len(results) :], result)
            break
    return JobOutcome(tuple(results))


def _not_begun(targets: Sequence[JobTarget], last: Result) -> list[Result]:
    """The targets that are left after a signal that came too late to end ``last``, which succeeded."""
    if last.error or not last.report:
        return []
    return [Result(each.identifier, None, CancelledError(last.report.interrupted, "Run again.")) for each in targets]


def _compare(job: Job, target: JobTarget, progress: Progress, state_dir: str, observe: Observe) -> Result:
    books = Bookkeeping(Origin(DOOR, job.name), "disk_sync", target.identifier, state_dir)
    return sync_once(job.request(target, check=True), progress, books, without_strangers(observe, job, target))


def sync_once(
    request: SyncRequest,
    progress: Progress,
    books: Bookkeeping,
    observe: Observe = observe_machine,
    agree: Agree | None = None,
) -> Result:
    """One sync with one target, whatever comes of it. ``agree`` is as in disk_sync.run."""
    identifier = str(request.target)
    try:
        return Result(identifier, disk_sync.run(request, progress, observe, books, agree))
    except BlksyncError as error:
        return Result(identifier, error.report if isinstance(error.report, SyncReport) else None, error)
