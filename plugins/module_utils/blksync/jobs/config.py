# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads and checks job files: one JSON object in /etc/blksync/NAME.json for each job."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field, replace
from typing import Any, Mapping

from ..errors import InvalidRequestError, JobError, UntrustedError, why
from ..options import SyncRequest
from ..options.kinds import FLAG, NUMBER, PATH, TEXT, option, options_of, read_all, required
from ..paths import JOB_DIR
from ..system import atomic_file
from .values import JOB_NAME, JOB_TARGETS, NAME, REQUIRE, WHEN_ABSENT, JobTarget, kernel_names, own_backup, unknown

SUFFIX = ".json"
FORMAT = 1
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Job:
    """One job file. ``sync`` is what to ask for, with the first of the targets.

    ``max_age`` is in seconds; None means never stale. ``require``: whether any or all of the targets must be a complete
    and fresh backup. ``loop_devices``: disks that are made of files may be meant as well (see ``jobs/targets.py``).
    """

    sync: SyncRequest
    name: str = field(metadata=required(JOB_NAME))
    targets: tuple[JobTarget, ...] = field(metadata=required(JOB_TARGETS))
    when_absent: str = option(TEXT, "skip", choices=WHEN_ABSENT)
    max_age: int | None = option(NUMBER, None, minimum=1)
    require: str = option(TEXT, "any", choices=REQUIRE)
    loop_devices: bool = option(FLAG, False)
    notify: bool = option(FLAG, False)
    textfile_dir: str | None = option(PATH, None)

    def request(self, target: JobTarget, check: bool = False) -> SyncRequest:
        """What to ask of ``disk_sync.run`` for one of the targets."""
        return replace(self.sync, target=target.identifier, check=check)


def keys() -> tuple[str, ...]:
    """Every key that a job file may have: a job has ``targets`` for the ``target`` of a SyncRequest."""
    return (
        "version",
        *dict.fromkeys(name for table in (Job, SyncRequest) for name in options_of(table) if name != "target"),
    )


def names(directory: str = JOB_DIR) -> list[str]:
    """The names of all jobs, sorted; none if there is no such directory."""
    try:
        entries = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(entry[: -len(SUFFIX)] for entry in entries if entry.endswith(SUFFIX) and not entry.startswith("."))


def load(name: str, directory: str = JOB_DIR) -> Job:
    """The job of that name. Raises JobError with every problem of its file."""
    if not NAME.match(name):
        raise JobError(name, ("not a job's name: a-z, 0-9, _ and - only, the first a letter or digit",))
    path = os.path.join(directory, name + SUFFIX)
    if not os.path.exists(path):
        known = ", ".join(names(directory)) or "none"
        raise JobError(path, ("there is no such job (jobs in %s: %s)" % (directory, known),))
    problems = trust_problems(os.stat(directory), os.geteuid(), directory)
    text, file_problems = _read(path)
    job, content_problems = _parse(text, name)
    problems += file_problems + content_problems
    if problems or job is None:
        raise JobError(path, tuple(problems))
    return job


def check_file(path: str, directory: str = JOB_DIR) -> Job:
    """The job in any file; one that lies in ``directory`` must also have the right name and owner. Raises JobError."""
    if is_installed(path, directory):
        return load(os.path.basename(path)[: -len(SUFFIX)], directory)
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(path, ("cannot be read: %s" % why(error),)) from error


def is_installed(path: str, directory: str = JOB_DIR) -> bool:
    """Whether the file is one of the jobs in ``directory``."""
    return path.endswith(SUFFIX) and os.path.realpath(os.path.dirname(path)) == os.path.realpath(directory)


def parse(text: str, where: str) -> Job:
    """The job in a file's text. Raises JobError with every problem; ``where`` is for its message."""
    job, problems = _parse(text)
    if job is None:
        raise JobError(where, tuple(problems))
    return job


def trust_problems(status: os.stat_result, reader: int, path: str) -> list[str]:
    """Why what has this status may not decide which disk is written: anybody but root or ``reader`` could change it."""
    problems = []
    if status.st_uid not in (0, reader):
        problems.append("%s belongs to user %d, not to root" % (path, status.st_uid))
    if status.st_mode & WRITABLE_BY_OTHERS:
        problems.append("%s can be written by others (mode %04o)" % (path, stat.S_IMODE(status.st_mode)))
    return problems


def _read(path: str) -> tuple[str, list[str]]:
    """A job file's text, and what speaks against trusting the file that was opened."""
    try:
        content, status = atomic_file.read_with_status(path)
        return content.decode("utf-8"), trust_problems(status, os.geteuid(), path)
    except (OSError, UnicodeDecodeError, UntrustedError) as error:
        raise JobError(path, ("cannot be read: %s" % why(error),)) from error


def _parse(text: str, file_name: str = "") -> tuple[Job | None, list[str]]:
    """The job, or None and all problems. ``file_name``, if given, is the name that the job must have."""
    twice: list[str] = []

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _value in pairs]
        twice.extend(sorted({name for name in names if names.count(name) > 1}))
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=as_object)
    except (ValueError, RecursionError) as error:
        return None, ["not JSON: %s" % error]
    if not isinstance(content, dict):
        return None, ["not a JSON object"]
    problems = ["key %s stands twice" % json.dumps(name) for name in twice]
    version = content.pop("version", None)
    if version != FORMAT or isinstance(version, bool):
        problems.append("version is %s; this blksync reads version %d" % (json.dumps(version), FORMAT))
    job, errors = read_content(content)
    problems += [problem for error in errors for problem in error.problems]
    name = content.get("name")
    if file_name and isinstance(name, str) and name != file_name:
        problems.append("name is %r, but the file's name says %r" % (name, file_name))
    return (None, problems) if problems else (job, [])


def read_content(content: Mapping[str, Any]) -> tuple[Job | None, list[InvalidRequestError]]:
    """The job of a file's content, without its version, or None and everything that is wrong."""
    own, errors = read_all(options_of(Job), content)
    sync, more = SyncRequest.read(content, later=("target",))
    errors += [*more, *own_backup(content.get("source"), content.get("targets")), *kernel_names(content)]
    errors += unknown(keys(), content)
    if errors:
        return None, errors
    return Job(replace(sync, target=own["targets"][0].identifier), **own), []
