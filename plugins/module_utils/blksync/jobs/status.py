# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The state of each job: its last success, whether that is too old, its next run. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Mapping, Sequence

from .config import Job
from .history import Run, iso_time
from .run_lock import Mark


@dataclass(frozen=True)
class Standing:
    """One job's state. Moments are seconds since the epoch, lengths of time seconds; None is "never" or "unknown".

    ``state`` is "running", "interrupted" (killed, nothing ran since), "stale", "failed" (the last run), "never", "ok".
    ``duration`` and ``bytes_written`` are those of the last success, ``last_error`` that of the last run.
    """

    job: str
    state: str
    stale: bool
    last_success: float | None
    age: float | None
    max_age: int | None
    duration: float | None
    bytes_written: int | None
    next_run: float | None
    last_error: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able data, moments in ISO 8601."""
        moments = {
            key: None if value is None else iso_time(value)
            for key, value in (("last_success", self.last_success), ("next_run", self.next_run))
        }
        return {**asdict(self), **moments, "age": None if self.age is None else round(self.age)}


def assess(job: Job, runs: Sequence[Run], mark: Mark | None, next_run: float | None, now: float) -> Standing:
    """How a job stands at the moment ``now``; ``runs`` is its history, the newest last."""
    success = last_success(runs)
    ended = success.end if success else None
    # A clock that was set back must not make a backup younger than new.
    age = None if ended is None else max(now - ended, 0.0)
    stale = job.max_age is not None and (age is None or age > job.max_age)
    return Standing(
        job=job.name,
        state=_state(runs, mark, stale),
        stale=stale,
        last_success=ended,
        age=age,
        max_age=job.max_age,
        duration=success.duration if success else None,
        bytes_written=success.bytes_written if success else None,
        next_run=next_run,
        last_error=_last_error(runs, mark),
    )


def last_success(runs: Sequence[Run]) -> Run | None:
    """The newest run that succeeded."""
    return next((run for run in reversed(runs) if run.succeeded), None)


def assess_all(
    jobs: Sequence[Job],
    histories: Mapping[str, Sequence[Run]],
    marks: Mapping[str, Mark | None],
    next_runs: Mapping[str, float],
    now: float,
) -> list[Standing]:
    """How all jobs stand, in their order."""
    return [assess(job, histories.get(job.name, ()), marks.get(job.name), next_runs.get(job.name), now) for job in jobs]


def _state(runs: Sequence[Run], mark: Mark | None, stale: bool) -> str:
    if mark:
        return "running" if mark.alive else "interrupted"
    if stale and runs:
        return "stale"
    if not runs:
        return "never"
    return "ok" if runs[-1].succeeded else "failed"


def _last_error(runs: Sequence[Run], mark: Mark | None) -> str | None:
    if mark and not mark.alive:
        return "The run that began at %s did not come to its end." % iso_time(mark.start)
    return runs[-1].error_message if runs else None
