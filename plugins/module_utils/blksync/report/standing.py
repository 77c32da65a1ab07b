# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How every backup disk of every job stands at one moment, and what to do next. Pure.

A disk is as good as its record says, and never better: a disk without a record was never copied to, one whose run did
not end is incomplete, and a success dated in the future counts as stale.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Collection, Sequence

from ..discovery import identifiers
from ..discovery.model import Disk, Machine
from ..jobs.config import Job
from ..jobs.values import JobTarget
from ..records.disk_record import CHANGED_ELSEWHERE, COMPLETE, INCOMPLETE, NEVER, UNKNOWN, DiskKey, DiskRecord
from ..records.progress import State
from ..records.run import Run, iso_time

RUNNING, INTERRUPTED = "running", "interrupted"
ANY, ALL = "any", "all"
_ORDER = (INTERRUPTED, INCOMPLETE, CHANGED_ELSEWHERE, UNKNOWN, NEVER, RUNNING, COMPLETE)  # the worst first
_MOMENTS = ("last_success", "last_attempt", "verified", "boot_tested")


@dataclass(frozen=True)
class DiskStanding:
    """One backup disk of one job. Moments are seconds since the epoch, lengths of time seconds; None is "never".

    ``state`` is that of the record, "never" without one, or "running", "interrupted" (a run was killed). ``lacking``
    has the partitions that are torn, or that the job wants and that were never copied. ``last_success`` is that of the
    partition that was copied the longest time ago. ``stale``: it is older than the job's max_age, or dated in the
    future (``in_future``). ``plugged_in`` is None if nobody looked. ``last_error`` is that of the last attempt,
    ``next_step`` what to do, empty for a good disk.
    ``progress`` is how far a running sync is, None if it is not known.
    """

    job: str
    identifier: str
    state: str
    ptuuid: str | None = None
    serial: str | None = None
    model: str | None = None
    plugged_in: bool | None = None
    last_success: float | None = None
    age: float | None = None
    stale: bool = False
    in_future: bool = False
    duration: float | None = None
    bytes_written: int | None = None
    frozen_seconds: float | None = None
    left_out: tuple[str, ...] = ()
    lacking: tuple[int, ...] = ()
    last_attempt: float | None = None
    last_error: str | None = None
    verified: float | None = None
    boot_tested: float | None = None
    next_step: str = ""
    progress: State | None = None

    @property
    def good(self) -> bool:
        """Whether the disk is a complete and fresh backup."""
        return self.state == COMPLETE and not self.stale

    def as_dict(self) -> dict[str, Any]:
        """JSON-able data, moments in ISO 8601."""
        data = {**asdict(self), "good": self.good, "left_out": list(self.left_out), "lacking": list(self.lacking)}
        if self.progress:
            data["progress"].update(percent=self.progress.percent, seconds_left=self.progress.seconds_left)
        data["age"] = None if self.age is None else round(self.age)
        return {name: _iso(value) if name in _MOMENTS else value for name, value in data.items()}


@dataclass(frozen=True)
class JobStanding:
    """One job: ``good`` if any or all of its disks are, as its ``require`` wants. ``disks`` has the worst first."""

    job: str
    require: str
    max_age: int | None
    next_run: float | None
    disks: tuple[DiskStanding, ...]

    @property
    def good(self) -> bool:
        """Whether the job has the backups that it needs."""
        wanted: Callable[[Any], bool] = all if self.require == ALL else any
        return wanted(disk.good for disk in self.disks)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able data, moments in ISO 8601."""
        return {
            "job": self.job,
            "good": self.good,
            "require": self.require,
            "max_age": self.max_age,
            "next_run": _iso(self.next_run),
            "disks": [disk.as_dict() for disk in self.disks],
        }


@dataclass(frozen=True)
class Known:
    """What is known at the moment ``now`` (seconds since the epoch).

    ``running`` says whether the process of a record's last attempt still runs. ``machine`` has the disks that are
    plugged in, None if nobody looked. ``leftovers``: a killed run left something frozen or unmounted. ``progress`` says
    how far the run on a disk is.
    """

    records: tuple[DiskRecord, ...]
    now: float
    running: Callable[[DiskRecord], bool]
    machine: Machine | None = None
    leftovers: bool = False
    progress: Callable[[DiskKey], State | None] = lambda _key: None


def assess(job: Job, known: Known, next_run: float | None = None) -> JobStanding:
    """How the job and each of its disks stand."""
    disks = [_of_target(job, target, known) for target in job.targets]
    disks.sort(key=lambda disk: (disk.good, _ORDER.index(disk.state)))
    return JobStanding(job.name, job.require, job.max_age, next_run, tuple(disks))


def others(jobs: Sequence[Job], known: Known) -> tuple[DiskStanding, ...]:
    """The disks that have a record and are no job's: modules and commands wrote to them, or to their namesakes."""
    named = {record.key for job in jobs for target in job.targets for record in _meant(target, known)[-1:]}
    return tuple(
        _standing("", record.key.ptuuid, record, None, known) for record in known.records if record.key not in named
    )


def all_good(jobs: Sequence[JobStanding], other_disks: Sequence[DiskStanding]) -> bool:
    """Whether each job has the backups that it needs. Without jobs, one good disk of those copied to is enough."""
    if jobs:
        return all(job.good for job in jobs)
    return not other_disks or any(disk.good for disk in other_disks)


def matching(records: Collection[DiskRecord], target: JobTarget) -> list[DiskRecord]:
    """The records of the disks that a job's target could mean, the one that was tried last at the end."""
    seen = Machine(tuple(record.as_disk() for record in records))
    found = identifiers.matches(seen, target.identifier)
    meant = [
        record for record in records if record.as_disk() in found and target.serial in (None, record.key.serial or None)
    ]
    return sorted(meant, key=lambda record: record.last_attempt.start if record.last_attempt else 0.0)


def _meant(target: JobTarget, known: Known) -> list[DiskRecord]:
    """As matching(). If such a disk is plugged in, not those of disks that it cannot be: it was partitioned anew."""
    found = matching(known.records, target)
    present = _present(target.identifier, target.serial, known)
    return [record for record in found if any(_may_be(record.key, disk) for disk in present)] if present else found


def _is_of_another(job: Job, success: Run | None) -> bool:
    """Whether another disk than the job's was copied, as far as its identifier tells that."""
    wanted = identifiers.parse_identifier(job.sync.source)
    return bool(success and success.source and wanted.kind == "PTUUID" and wanted.value != success.source)


def _may_be(key: DiskKey, disk: Disk) -> bool:
    """Whether nothing speaks against it; not everybody may read everything of a disk."""
    pairs = ((key.ptuuid, disk.ptuuid), (key.serial, disk.serial))
    return all(not known or not found or known == found for known, found in pairs)


def _of_target(job: Job, target: JobTarget, known: Known) -> DiskStanding:
    found = _meant(target, known)
    if found:
        wanted = None if isinstance(job.sync.partitions, str) else job.sync.partitions
        standing = _standing(job.name, target.identifier, found[-1], job.max_age, known, wanted)
        if standing.state != COMPLETE or not _is_of_another(job, found[-1].last_success):
            return standing
        standing = replace(standing, state=UNKNOWN)
        return replace(standing, next_step=_next_step(standing, known.leftovers))
    present = _is_present(target.identifier, target.serial, known)
    standing = DiskStanding(job.name, target.identifier, NEVER, serial=target.serial, plugged_in=present)
    standing = replace(standing, stale=job.max_age is not None)
    return replace(standing, next_step=_next_step(standing, known.leftovers))


def _standing(
    job: str,
    identifier: str,
    record: DiskRecord,
    max_age: int | None,
    known: Known,
    partitions: Collection[int] | None = None,
) -> DiskStanding:
    success, attempt = record.last_success, record.last_attempt
    ended = record.as_of(partitions)
    missing = {number for number in partitions or () if str(number) not in record.copied} if record.copied else ()
    lacking = tuple(sorted({*record.torn, *missing}))
    state = _state(record, known)
    in_future = any(moment > known.now for moment in (ended, success.end if success else None) if moment is not None)
    age = None if ended is None else max(known.now - ended, 0.0)
    standing = DiskStanding(
        job=job,
        identifier=identifier,
        state=INCOMPLETE if lacking and state == COMPLETE else state,
        ptuuid=record.key.ptuuid,
        serial=record.key.serial or None,
        model=record.model or None,
        plugged_in=_is_present(record.key.ptuuid, record.key.serial or None, known),
        last_success=ended,
        age=age,
        stale=in_future or (max_age is not None and (age is None or age > max_age)),
        in_future=in_future,
        duration=success.duration if success else None,
        bytes_written=success.bytes_written if success else None,
        frozen_seconds=success.frozen_seconds if success else None,
        left_out=success.left_out if success else (),
        lacking=lacking,
        last_attempt=attempt.start if attempt else None,
        last_error=_last_error(attempt),
        verified=record.verified,
        boot_tested=record.boot_tested,
    )
    progress = known.progress(record.key) if standing.state == RUNNING else None
    return replace(standing, progress=progress, next_step=_next_step(standing, known.leftovers))


def _state(record: DiskRecord, known: Known) -> str:
    if record.last_attempt and record.last_attempt.end is None:
        return RUNNING if known.running(record) else INTERRUPTED
    return record.state


def _is_present(identifier: str, serial: str | None, known: Known) -> bool | None:
    return None if known.machine is None else bool(_present(identifier, serial, known))


def _present(identifier: str, serial: str | None, known: Known) -> list[Disk]:
    found = identifiers.matches(known.machine, identifier) if known.machine else ()
    return [disk for disk in found if serial in (None, disk.serial)]


def _last_error(attempt: Run | None) -> str | None:
    return attempt.error_message if attempt and attempt.end is not None else None


def _next_step(disk: DiskStanding, leftovers: bool) -> str:
    """One line for people; the disk's job may be unknown."""
    if disk.good:
        return ""
    if disk.state == RUNNING:
        return "A run is at work on it: wait for its end."
    sync = "blksync sync %s" % disk.job if disk.job else "the sync again"
    run = "run %s" % sync if disk.plugged_in else "plug the disk in and run %s" % sync
    if disk.state == INTERRUPTED and leftovers:
        return "A run was killed: run blksync restore-state, then %s." % run
    if disk.lacking and not disk.last_error and disk.state == INCOMPLETE:
        many = len(disk.lacking) > 1
        what = "Partitions %s have" if many else "Partition %s has"
        return "%s no complete copy: %s." % (what % ", ".join(map(str, disk.lacking)), run)
    sentences = {
        INTERRUPTED: "A run was killed while it wrote to the disk, which is no backup now: %s.",
        INCOMPLETE: "The last run did not finish the copy, which is no backup now: %s.",
        CHANGED_ELSEWHERE: "Somebody worked on the disk. Save what you need from it, then %s --discard-changes.",
        UNKNOWN: "Something else was written to the disk: %s.",
        NEVER: "Nothing was ever copied to it: %s.",
        COMPLETE: "The backup is too old: %s.",
    }
    if disk.in_future:
        return "The last success is dated in the future, so its age is unknown: set the clock, then %s." % run
    return sentences[disk.state] % run


def _iso(moment: float | None) -> str | None:
    return None if moment is None else iso_time(moment)
