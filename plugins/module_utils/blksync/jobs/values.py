# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The keys of a job file, and what each may hold. Pure."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, Callable

from ..discovery import identifiers
from ..errors import InvalidRequestError
from ..options import DISK_QUIESCE_MODES, ENGINES, SCOPES, VERIFY_MODES, parse_partitions
from ..text import printable

WHEN_ABSENT = ("skip", "fail")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")  # it becomes the instance name of systemd units


class WrongError(Exception):
    """A value that makes no sense; each argument is one problem."""


@dataclass(frozen=True)
class JobTarget:
    """One backup disk of a job. ``serial``, if given, must be the disk's as well: some disks share an identifier."""

    identifier: str
    serial: str | None = None


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else "%s..." % text[:57]


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise WrongError("%s is %s; give a string that is not empty" % (key, _shown(value)))
    if printable(value) != value:
        raise WrongError("%s is %s; control characters and lone surrogates do not belong there" % (key, _shown(value)))
    return value


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise WrongError("%s is %s; use a-z, 0-9, _ and - only, at most 64" % (key, _shown(value)))
    return value


def _identifier(key: str, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise WrongError('%s is the number %s; quote it: "%s"' % (key, _shown(value), _shown(value)))
    text = _string(key, value)
    try:
        identifiers.parse_identifier(text, key)
    except InvalidRequestError as error:
        raise WrongError(str(error)) from error
    return text


def _all_of(key: str, values: Any, one: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    """A list of which every item is checked, so that all problems are told together."""
    if not isinstance(values, list):
        raise WrongError("%s is %s; give a list" % (key, _shown(values)))
    items: list[Any] = []
    problems: list[str] = []
    for index, value in enumerate(values):
        try:
            items.append(one("%s[%d]" % (key, index), value))
        except WrongError as error:
            problems += error.args
    if problems:
        raise WrongError(*problems)
    return tuple(items)


def _identifiers(key: str, value: Any) -> tuple[str, ...]:
    return _all_of(key, value, _identifier)


def _target(key: str, value: Any) -> JobTarget:
    if not isinstance(value, dict):
        raise WrongError('%s is %s; give an object such as {"identifier": "22222222"}' % (key, _shown(value)))
    problems = ["%s: unknown key %s" % (key, json.dumps(name)) for name in value if name not in TARGET_KEYS]
    identifier, serial = "", None
    try:
        identifier = _identifier(key + ".identifier", value.get("identifier"))
    except WrongError as error:
        problems += error.args
    try:
        if value.get("serial") is not None:
            serial = _string(key + ".serial", value["serial"])
    except WrongError as error:
        problems += error.args
    if problems:
        raise WrongError(*problems)
    return JobTarget(identifier, serial)


def _targets(key: str, value: Any) -> tuple[JobTarget, ...]:
    found: tuple[JobTarget, ...] = _all_of(key, value, _target)
    if not found:
        raise WrongError("%s is empty; name at least one backup disk" % key)
    if len(set(found)) < len(found):
        raise WrongError("%s names a disk twice" % key)
    return found


def _whole_number(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WrongError("%s is %s; give a whole number of at least 1" % (key, _shown(value)))
    return int(value)


def _partitions(key: str, value: Any) -> tuple[int, ...] | str:
    try:
        return parse_partitions(value)
    except InvalidRequestError as error:
        raise WrongError(str(error)) from error


def _max_age(key: str, value: Any) -> int | None:
    return None if value is None else _whole_number(key, value)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongError("%s is %s; give true or false" % (key, _shown(value)))
    return value


def _dir(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not os.path.isabs(value):
        raise WrongError("%s is %s; give an absolute path or null" % (key, _shown(value)))
    return value


def _choice(choices: tuple[str, ...]) -> Callable[[str, Any], str]:
    def check(key: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise WrongError("%s is %s; choose one of %s" % (key, _shown(value), ", ".join(choices)))
        return value

    return check


TARGET_KEYS = ("identifier", "serial")
VALUES: dict[str, Callable[[str, Any], Any]] = {
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
    "power_off": _flag,
    "when_absent": _choice(WHEN_ABSENT),
    "max_age": _max_age,
    "notify": _flag,
    "textfile_dir": _dir,
}
