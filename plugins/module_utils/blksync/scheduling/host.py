# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the files of jobs on this host what they should be. The changes are found first, as data; then each is made.

A run that was killed is completed by the next one: what a job has is observed each time, and never read back from what
is to be removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from typing import Iterator, Mapping, Sequence

from ..errors import BlksyncError, described
from ..jobs.values import NAME
from ..options import Request, SyncRequest
from ..options.kinds import FLAG, TEXT, Kind, option, raise_all, same_as
from ..system import atomic_file
from . import ask, udev_rules, units
from .files import PLACES, Places, files_of, links_of, metrics_name
from .jobs import ScheduledJob, read_jobs, schedules

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
OWNER, GROUP = 0, 0
_OWN = re.compile(r"blksync@(.+)\.service\.d")

JOBS = Kind("raw", lambda _name, value: value)  # read with all their problems by read_jobs
LINES = Kind("str", lambda _name, value: str(value))


@dataclass(frozen=True)
class JobsRequest(Request):
    """The jobs that should be on this host, as ``read_jobs`` takes them.

    ``exclusive``: whether other jobs that were made here before are removed. ``engine`` is that of jobs which name
    none. ``random_delay`` is a time span of systemd.time(7). ``header`` is text for the head of each file.
    """

    jobs: object = option(JOBS, ())
    exclusive: bool = option(FLAG, False)
    engine: str = same_as(SyncRequest, "engine")
    random_delay: str = option(TEXT, "15min")
    header: str = option(LINES, "")
    check: bool = False


@dataclass(frozen=True)
class Change:
    """One file to make, to change or to remove. ``before`` and ``after`` are its content, None if there is no file.

    ``link``: the content is where a symbolic link leads. ``directory``: it is the mode and the owner of a directory.
    """

    path: str
    before: str | None
    after: str | None
    link: bool = False
    directory: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was changed, or would be.

    ``timers`` are the names of jobs whose timers should run. The jobs ``removed`` and the timers ``old_timers`` have to
    be stopped before their files go: so ask for a check first. ``systemd_behind`` and ``udev_behind``: whether systemd
    and udev have to read their files again; ``devices_behind`` have not been through the rules as they are.
    """

    changes: tuple[Change, ...]
    timers: tuple[str, ...]
    metrics: bool
    removed: tuple[str, ...]
    old_timers: tuple[str, ...]
    systemd_behind: bool
    udev_behind: bool
    devices_behind: tuple[str, ...]


def run(request: JobsRequest, places: Places = PLACES) -> Outcome:
    """Write the files of the jobs and remove others. Raises InvalidRequestError for all mistakes, or BlksyncError."""
    request.validate()
    jobs, errors = read_jobs(request.jobs, request.engine)
    raise_all([*errors, *ask.time_errors(list(schedules(request.jobs)), request.random_delay)])
    try:
        return _run(request, jobs, places)
    except OSError as error:
        raise BlksyncError("The jobs cannot be configured: %s." % described(error)) from error


def own_jobs(places: Places) -> tuple[str, ...]:
    """The names of the jobs that were made here, sorted."""
    with contextlib.suppress(FileNotFoundError):
        found = (_OWN.fullmatch(entry) for entry in os.listdir(places.units))
        names = (match.group(1) for match in found if match and NAME.match(match.group(1)))
        return tuple(sorted(name for name in names if os.path.lexists(places.mark(name))))
    return ()


def _run(request: JobsRequest, jobs: Sequence[ScheduledJob], places: Places) -> Outcome:
    listed = [job.name for job in jobs]
    before = own_jobs(places)
    removed = tuple(name for name in before if name not in listed) if request.exclusive else ()
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    for job in jobs:
        files.update(files_of(job, places, request.header, request.random_delay))
        links.update(links_of(job, places))
    names = [*removed, *listed]
    obsolete = [path for name in names for path in places.all_of(name) if path not in files and path not in links]
    without_timer = [name for name in names if places.timer(name) in obsolete]
    obsolete += [trace for name in without_timer for trace in places.traces_of_timer(name)]
    old_timers = tuple(name for name in without_timer if os.path.lexists(places.timer(name)))
    rules = _rules(places, files, obsolete)
    if rules:
        files[places.common_rules()] = units.comment(request.header) + udev_rules.common(rules)
    else:
        obsolete.append(places.common_rules())
    changes = [*_removals(obsolete, places, names), *_file_changes(files), *_link_changes(links)]
    changes += _untrusted_directory(places.jobs) if jobs else []
    if not request.check:
        _carry_out(changes, places)
    kept = sorted({*before, *listed} - set(removed))
    behind = ask.devices_behind(udev_rules.digest(rules) if rules else "")
    return Outcome(
        tuple(changes),
        tuple(job.name for job in jobs if job.schedule),
        any(places.metrics_settings(name) in files or _is_other(places, name, names) for name in kept),
        removed,
        old_timers,
        _changed_in(places.units, changes) or ask.systemd_is_behind(_units(kept, places)),
        _changed_in(places.rules, changes) or bool(behind),
        behind,
    )


def _changed_in(directory: str, changes: Sequence[Change]) -> bool:
    return any(change.path.startswith(os.path.join(directory, "")) for change in changes)


def _is_other(places: Places, name: str, names: Sequence[str]) -> bool:
    """Whether a job that is not listed has metrics."""
    return name not in names and os.path.lexists(places.metrics_settings(name))


def _units(names: Sequence[str], places: Places) -> list[str]:
    timers = [os.path.basename(places.timer(name)) for name in names if os.path.lexists(places.timer(name))]
    services = ["%s@%s.service" % (kind, name) for kind in ("blksync", "blksync-inhibit") for name in names]
    return ["blksync-status.service", "blksync-status.timer", *services, *timers]


def _rules(places: Places, files: Mapping[str, str], obsolete: Sequence[str]) -> dict[str, str]:
    """All rules of jobs as they will be: those of this run, and those of jobs that are not listed."""
    found = {}
    for name in own_jobs(places):
        path = places.job_rules(name)
        text = None if path in obsolete else _content(path)
        if text is not None:
            found[os.path.basename(path)] = text
    rules_dir = os.path.join(places.rules, "")
    found.update({os.path.basename(path): text for path, text in files.items() if path.startswith(rules_dir)})
    return found


def _file_changes(files: Mapping[str, str]) -> Iterator[Change]:
    for path, text in files.items():
        before = _content(path)
        if before != text or not _is_ours(path):
            yield Change(path, before, text)


def _untrusted_directory(path: str) -> list[Change]:
    """The directory of jobs, if others could change it: then the command would run none of them."""
    if not os.path.isdir(path):
        return []
    status = os.stat(path)
    found, wanted = (
        "directory %04o %d:%d\n" % each
        for each in (
            (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid),
            (DIRECTORY_MODE, OWNER, GROUP),
        )
    )
    return [Change(path, found, wanted, directory=True)] if found != wanted else []


def _link_changes(links: Mapping[str, str]) -> Iterator[Change]:
    for path, where in links.items():
        before = _link(path)
        if before != where:
            yield from _metrics_left(before, path)
            yield Change(path, before, where, link=True)


def _removals(obsolete: Sequence[str], places: Places, names: Sequence[str]) -> Iterator[Change]:
    """The files that are left of what a job has no more; the mark of a job that is removed comes last."""
    marks = [places.mark(name) for name in names]
    for path in sorted(obsolete, key=lambda each: each in marks):
        if os.path.lexists(path):
            yield from _metrics_left(_link(path), path)
            yield Change(path, _link(path) or _content(path) or "", None, link=os.path.islink(path))


def _metrics_left(where: str | None, path: str) -> Iterator[Change]:
    """The metrics that a job wrote where its link leads; a link that leads to another name is none of ours."""
    name = os.path.basename(path)[: -len(".prom")]
    if where and os.path.basename(where) == metrics_name(name) and os.path.lexists(where):
        yield Change(where, "", None)


def _carry_out(changes: Sequence[Change], places: Places) -> None:
    for change in changes:
        if change.after is None:
            atomic_file.remove(change.path)
            _remove_empty(os.path.dirname(change.path), places)
            continue
        if change.directory:
            os.chown(change.path, OWNER, GROUP)
            os.chmod(change.path, DIRECTORY_MODE)
            continue
        _make_directory(os.path.dirname(change.path))
        if change.link:
            atomic_file.remove(change.path)
            os.symlink(change.after, change.path)
        else:
            atomic_file.replace(change.path, change.after.encode("utf-8", "surrogateescape"), FILE_MODE)
            os.chown(change.path, OWNER, GROUP)


def _remove_empty(directory: str, places: Places) -> None:
    """Remove a directory of settings when the last of them was removed."""
    if directory.endswith(".d") and os.path.dirname(directory) == places.units:
        with contextlib.suppress(OSError):  # somebody else's settings are in it
            os.rmdir(directory)


def _make_directory(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, DIRECTORY_MODE)
        os.chmod(path, DIRECTORY_MODE)


def _content(path: str) -> str | None:
    """The text of a file, None if there is none."""
    try:
        return atomic_file.read(path).decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _is_ours(path: str) -> bool:
    status = os.lstat(path)
    return (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (OWNER, GROUP, FILE_MODE)
