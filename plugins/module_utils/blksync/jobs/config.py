# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Job files: what the ``blksync`` command syncs under one name, one JSON object in /etc/blksync/NAME.json."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequestError, JobError
from ..options import (
    ALL,
    DEFAULT_PARTITIONS,
    DEFAULT_QUIESCE_TIMEOUT,
    SyncRequest,
)
from ..paths import JOB_DIR
from .values import NAME, VALUES, JobTarget, WrongError

SUFFIX = ".json"
FORMAT = 1
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Job:
    """One job file. ``quiesce_timeout`` and ``max_age`` are seconds; ``max_age`` None means never stale."""

    name: str
    source: str
    targets: tuple[JobTarget, ...]
    partitions: tuple[int, ...] | str = DEFAULT_PARTITIONS
    engine: str = "auto"
    quiesce: str = "auto"
    quiesce_timeout: int = DEFAULT_QUIESCE_TIMEOUT
    quiesce_fallback: bool = True
    scope: str = ALL
    verify: str = "auto"
    allow_damaged_source: bool = False
    protected: tuple[str, ...] = ()
    power_off: bool = False
    when_absent: str = "skip"
    max_age: int | None = None
    notify: bool = False
    textfile_dir: str | None = None

    def request(self, target: JobTarget, check: bool = False) -> SyncRequest:
        """What to ask of ``disk_sync.run`` for one of the targets."""
        return SyncRequest(
            source=self.source,
            target=target.identifier,
            partitions=self.partitions,
            engine=self.engine,
            quiesce=self.quiesce,
            quiesce_timeout=self.quiesce_timeout,
            quiesce_fallback=self.quiesce_fallback,
            scope=self.scope,
            verify=self.verify,
            allow_damaged_source=self.allow_damaged_source,
            protected=self.protected,
            power_off=self.power_off,
            check=check,
        )


def names(directory: str = JOB_DIR) -> list[str]:
    """The names of all jobs, sorted; none where there is no such directory."""
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
    job, content_problems = _parse(text)
    problems += file_problems + content_problems
    if job and job.name != name:
        problems.append("name is %r, but the file's name says %r" % (job.name, name))
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
        raise JobError(path, ("cannot be read: %s" % error,)) from error


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
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return file.read().decode("utf-8"), trust_problems(status, os.geteuid(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(path, ("cannot be read: %s" % error,)) from error


def _parse(text: str) -> tuple[Job | None, list[str]]:
    """The job, or None and all problems."""
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        return None, ["not JSON: %s" % error]
    except WrongError as error:
        return None, [str(problem) for problem in error.args]
    if not isinstance(content, dict):
        return None, ["not a JSON object"]
    content = dict(content)
    version = content.pop("version", None)
    if version != FORMAT or isinstance(version, bool):
        return None, ["version is %s; this blksync reads version %d" % (json.dumps(version), FORMAT)]
    problems = ["%s is missing" % key for key in ("name", "source", "targets") if key not in content]
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in VALUES:
            problems.append("unknown key %s (known: %s)" % (json.dumps(key), ", ".join(["version", *VALUES])))
            continue
        try:
            values[key] = VALUES[key](key, value)
        except WrongError as error:
            problems += error.args
    return (None, problems) if problems else _consistent(Job(**values))


def _consistent(job: Job) -> tuple[Job | None, list[str]]:
    """The job, or None and the problem that its values, each of which is fine, do not go together."""
    try:
        job.request(job.targets[0]).validate()
    except InvalidRequestError as error:
        return None, [str(error)]
    return job, []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two equal keys neither is meant."""
    keys = [key for key, _value in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise WrongError(*("key %s stands twice" % json.dumps(key) for key in twice))
    return dict(pairs)
