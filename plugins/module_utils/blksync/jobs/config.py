# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Job files: what the ``blksync`` command syncs under one name, one JSON object in /etc/blksync/NAME.json."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from typing import Any, Callable

from ..discovery import identifiers
from ..errors import InvalidRequestError, JobError
from ..options import (
    ALL,
    DEFAULT_PARTITIONS,
    DEFAULT_QUIESCE_TIMEOUT,
    DISK_QUIESCE_MODES,
    ENGINES,
    SCOPES,
    VERIFY_MODES,
    SyncRequest,
    parse_partitions,
)
from ..paths import JOB_FOLDER
from ..text import printable

SUFFIX = ".json"
FORMAT = 1
WHEN_ABSENT = ("skip", "fail")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")  # it becomes the instance name of systemd units
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class JobTarget:
    """One backup disk of a job. ``serial``, if given, must be the disk's as well: some disks share an identifier."""

    identifier: str
    serial: str | None = None


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
    eject: bool = False
    when_absent: str = "skip"
    max_age: int | None = None
    notify: bool = False
    textfile_folder: str | None = None

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
            eject=self.eject,
            check=check,
        )


def names(folder: str = JOB_FOLDER) -> list[str]:
    """The names of all jobs, sorted; none where there is no such folder."""
    try:
        entries = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(entry[: -len(SUFFIX)] for entry in entries if entry.endswith(SUFFIX) and not entry.startswith("."))


def load(name: str, folder: str = JOB_FOLDER) -> Job:
    """The job of that name. Raises JobError with every problem of its file."""
    if not NAME.match(name):
        raise JobError(name, ("not a job's name: a-z, 0-9, _ and - only, the first a letter or digit",))
    path = os.path.join(folder, name + SUFFIX)
    if not os.path.exists(path):
        known = ", ".join(names(folder)) or "none"
        raise JobError(path, ("there is no such job (jobs in %s: %s)" % (folder, known),))
    problems = trust_problems(os.stat(folder), os.geteuid(), folder)
    text, file_problems = _read(path)
    job, content_problems = _parse(text)
    problems += file_problems + content_problems
    if job and job.name != name:
        problems.append("name is %r, but the file's name says %r" % (job.name, name))
    if problems or job is None:
        raise JobError(path, tuple(problems))
    return job


def check_file(path: str, folder: str = JOB_FOLDER) -> Job:
    """The job in any file; one that lies in ``folder`` must also have the right name and owner. Raises JobError."""
    if is_installed(path, folder):
        return load(os.path.basename(path)[: -len(SUFFIX)], folder)
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(path, ("cannot be read: %s" % error,)) from error


def is_installed(path: str, folder: str = JOB_FOLDER) -> bool:
    """Whether the file is one of the jobs in ``folder``."""
    return path.endswith(SUFFIX) and os.path.realpath(os.path.dirname(path)) == os.path.realpath(folder)


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


class _WrongError(Exception):
    """A value that makes no sense; each argument is one problem."""


def _parse(text: str) -> tuple[Job | None, list[str]]:
    """The job, or None and all problems."""
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        return None, ["not JSON: %s" % error]
    except _WrongError as error:
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
        if key not in _VALUES:
            problems.append("unknown key %s (known: %s)" % (json.dumps(key), ", ".join(["version", *_VALUES])))
            continue
        try:
            values[key] = _VALUES[key](key, value)
        except _WrongError as error:
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
        raise _WrongError(*("key %s stands twice" % json.dumps(key) for key in twice))
    return dict(pairs)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else "%s..." % text[:57]


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _WrongError("%s is %s; give a string that is not empty" % (key, _shown(value)))
    if printable(value) != value:
        raise _WrongError("%s is %s; control characters and lone surrogates do not belong there" % (key, _shown(value)))
    return value


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise _WrongError("%s is %s; use a-z, 0-9, _ and - only, at most 64" % (key, _shown(value)))
    return value


def _identifier(key: str, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise _WrongError('%s is the number %s; quote it: "%s"' % (key, _shown(value), _shown(value)))
    text = _string(key, value)
    try:
        identifiers.parse_identifier(text, key)
    except InvalidRequestError as error:
        raise _WrongError(str(error)) from error
    return text


def _all_of(key: str, values: Any, one: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    """A list of which every item is checked, so that all problems are told together."""
    if not isinstance(values, list):
        raise _WrongError("%s is %s; give a list" % (key, _shown(values)))
    items: list[Any] = []
    problems: list[str] = []
    for index, value in enumerate(values):
        try:
            items.append(one("%s[%d]" % (key, index), value))
        except _WrongError as error:
            problems += error.args
    if problems:
        raise _WrongError(*problems)
    return tuple(items)


def _identifiers(key: str, value: Any) -> tuple[str, ...]:
    return _all_of(key, value, _identifier)


def _target(key: str, value: Any) -> JobTarget:
    if not isinstance(value, dict):
        raise _WrongError('%s is %s; give an object such as {"identifier": "22222222"}' % (key, _shown(value)))
    problems = ["%s: unknown key %s" % (key, json.dumps(name)) for name in value if name not in _TARGET_KEYS]
    identifier, serial = "", None
    try:
        identifier = _identifier(key + ".identifier", value.get("identifier"))
    except _WrongError as error:
        problems += error.args
    try:
        if value.get("serial") is not None:
            serial = _string(key + ".serial", value["serial"])
    except _WrongError as error:
        problems += error.args
    if problems:
        raise _WrongError(*problems)
    return JobTarget(identifier, serial)


def _targets(key: str, value: Any) -> tuple[JobTarget, ...]:
    found: tuple[JobTarget, ...] = _all_of(key, value, _target)
    if not found:
        raise _WrongError("%s is empty; name at least one backup disk" % key)
    if len(set(found)) < len(found):
        raise _WrongError("%s names a disk twice" % key)
    return found


def _whole_number(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _WrongError("%s is %s; give a whole number of at least 1" % (key, _shown(value)))
    return int(value)


def _partitions(key: str, value: Any) -> tuple[int, ...] | str:
    try:
        return parse_partitions(value)
    except InvalidRequestError as error:
        raise _WrongError(str(error)) from error


def _max_age(key: str, value: Any) -> int | None:
    return None if value is None else _whole_number(key, value)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongError("%s is %s; give true or false" % (key, _shown(value)))
    return value


def _folder(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not os.path.isabs(value):
        raise _WrongError("%s is %s; give an absolute path or null" % (key, _shown(value)))
    return value


def _choice(choices: tuple[str, ...]) -> Callable[[str, Any], str]:
    def check(key: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _WrongError("%s is %s; choose one of %s" % (key, _shown(value), ", ".join(choices)))
        return value

    return check


_TARGET_KEYS = ("identifier", "serial")
_VALUES: dict[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "source": _identifier,
    "targets": _targets,
    "partitions": _partitions,
    "engine": _choice(ENGINES),
    "quiesce": _choice(DISK_QUIESCE_MODES),
    "quiesce_timeout": _whole_number,
    "quiesce_fallback": _flag,
    "scope": _choice(SCOPES),
    "verify": _choice(VERIFY_MODES),
    "allow_damaged_source": _flag,
    "protected": _identifiers,
    "eject": _flag,
    "when_absent": _choice(WHEN_ABSENT),
    "max_age": _max_age,
    "notify": _flag,
    "textfile_folder": _folder,
}
