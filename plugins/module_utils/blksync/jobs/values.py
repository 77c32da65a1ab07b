# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The values of a job file that are not options of a request: names and backup disks. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Collection, Iterator, Mapping

from ..discovery.identifiers import Identifier, parse_identifier
from ..errors import InvalidRequestError
from ..options.kinds import DISK, TEXT, Kind, option, options_of, raise_all, read_all, read_each, required, shown

WHEN_ABSENT = ("skip", "fail")
REQUIRE = ("any", "all")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")  # it becomes the instance name of systemd units


@dataclass(frozen=True)
class JobTarget:
    """One backup disk of a job. ``serial``, if given, must be the disk's as well: some disks share an identifier."""

    identifier: str = field(metadata=required(DISK))
    serial: str | None = option(TEXT, None)


def unknown(known: Collection[str], values: Mapping[str, Any], prefix: str = "") -> Iterator[InvalidRequestError]:
    """An error for each key of ``values`` that does not exist."""
    for key in values:
        if key not in known:
            yield InvalidRequestError("%sunknown key %s (known: %s)." % (prefix, json.dumps(key), ", ".join(known)))


def own_backup(source: Any, targets: Any) -> Iterator[InvalidRequestError]:
    """An error for each target that is the source itself, however both are written. Both are as the file has them."""
    disk = _disk(source)
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        if disk and isinstance(target, dict) and _disk(target.get("identifier")) == disk:
            yield InvalidRequestError(
                "targets[%d] is the source, %s; a disk cannot be its own backup." % (index, shown(source))
            )


def kernel_names(content: Mapping[str, Any]) -> Iterator[InvalidRequestError]:
    """An error for each disk of a job file that is named as the kernel does: at a later run this is another disk."""
    targets, protected = content.get("targets"), content.get("protected")
    named = [("source", content.get("source"))]
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        named.append(("targets[%d]" % index, target.get("identifier") if isinstance(target, dict) else None))
    for index, disk in enumerate(protected if isinstance(protected, list) else [protected]):
        named.append(("protected[%d]" % index, disk))
    for key, value in named:
        identifier = _parsed(value)
        for warning in identifier.warnings if identifier else ():
            yield InvalidRequestError("%s: %s" % (key, warning))


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise InvalidRequestError("%s is %s; use a-z, 0-9, _ and - only, at most 64." % (key, shown(value)))
    return value


def _target(key: str, value: Any) -> JobTarget:
    if not isinstance(value, dict):
        raise InvalidRequestError('%s is %s; give an object such as {"identifier": "22222222"}.' % (key, shown(value)))
    options = options_of(JobTarget)
    read, errors = read_all(options, value, lambda name: "%s.%s" % (key, name))
    raise_all([*errors, *unknown(options, value, key + ": ")])
    return JobTarget(**read)


def _targets(key: str, value: Any) -> tuple[JobTarget, ...]:
    found: tuple[JobTarget, ...] = read_each(key, value, _target)
    if not found:
        raise InvalidRequestError("%s is empty; name at least one backup disk." % key)
    if len({(_disk(target.identifier), target.serial) for target in found}) < len(found):
        raise InvalidRequestError("%s names a disk twice." % key)
    return found


def _disk(identifier: Any) -> tuple[str, str] | None:
    """What two identifiers of the same disk have in common, however they are written; None for what is none."""
    parsed = _parsed(identifier)
    return (parsed.kind, parsed.value) if parsed else None


def _parsed(identifier: Any) -> Identifier | None:
    try:
        return parse_identifier(identifier)
    except InvalidRequestError:
        return None


JOB_NAME = Kind("str", _name)
JOB_TARGETS = Kind("list", _targets)
