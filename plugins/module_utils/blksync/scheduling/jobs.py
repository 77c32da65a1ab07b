# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A job with what starts it, in any form that a playbook hands it over. Pure.

A playbook, an inventory and the command line of Ansible write the same value in different ways: "false", "600", null,
an empty text. Ansible checks the variables of a role, but does not convert them. Here each value is converted, once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

from ..errors import InvalidRequestError
from ..jobs import config
from ..jobs.config import Job
from ..jobs.values import unknown
from ..options import SyncRequest
from ..options.kinds import FLAG, TEXT, Kind, Option, option, options_of, read_all, read_each, shown

TRUE = frozenset(("y", "yes", "on", "1", "true", "t"))  # as ansible.module_utils.parsing.convert_bool has them
FALSE = frozenset(("n", "no", "off", "0", "false", "f"))
AUTO = "auto"  # the engine of a job file that names none
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"\s*([0-9]{1,12})\s*([smhdw]?)\s*", re.ASCII)
_INTEGER = re.compile(r"\s*(-?[0-9]{1,18})(?:\.0*)?\s*", re.ASCII)
# systemd.unit(5): the characters of a unit's name, with the % of a specifier such as %i.
_UNIT = re.compile(r"[A-Za-z0-9:_.@%\\-]+\.(?:service|target|timer|path|socket)", re.ASCII)


def _unit(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _UNIT.fullmatch(value):
        raise InvalidRequestError("%s is %s, which is no name of a unit, such as name.service." % (name, shown(value)))
    return value


def _units(name: str, value: Any) -> tuple[str, ...]:
    return read_each(name, value, _unit)


UNITS = Kind("list", _units)


@dataclass(frozen=True)
class ScheduledJob:
    """A job, the content of its file, and what starts it and is started by it.

    ``schedule`` is an OnCalendar expression of systemd.time(7), None for no timer. ``on_success`` and ``on_failure``
    are names of units.
    """

    job: Job
    content: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = option(TEXT, None)
    on_plug: bool = option(FLAG, False)
    on_success: tuple[str, ...] = option(UNITS, ())
    on_failure: tuple[str, ...] = option(UNITS, ())

    @property
    def name(self) -> str:
        """The name of the job, which names all its files."""
        return self.job.name


def keys() -> tuple[str, ...]:
    """Every key that a job may have here: those of a job file, with ``target`` for targets, and of ScheduledJob."""
    in_file: Mapping[str, Option] = {**options_of(Job), **options_of(SyncRequest), **options_of(ScheduledJob)}
    return tuple(name for name in in_file if name != "targets")


def read_jobs(values: Any, engine: str = AUTO) -> tuple[tuple[ScheduledJob, ...], list[InvalidRequestError]]:
    """The jobs of a list and everything that is wrong with them. ``engine`` is that of jobs which name none."""
    if not isinstance(values, (list, tuple)):
        return (), [InvalidRequestError("jobs is %s; give a list of jobs." % shown(values))]
    found: list[ScheduledJob] = []
    errors: list[InvalidRequestError] = []
    names: list[str] = []
    for index, value in enumerate(values):
        job, problems = _read(value, engine)
        name = value.get("name") if isinstance(value, Mapping) else None
        where = "Job %s" % name if isinstance(name, (str, int)) and name != "" else "jobs[%d]" % index
        errors += [InvalidRequestError("%s: %s" % (where, problem)) for each in problems for problem in each.problems]
        names += [str(name)] if name else []
        found += [job] if job else []
    twice = sorted({name for name in names if names.count(name) > 1})
    return tuple(found), [*(InvalidRequestError("Two jobs have the name %s." % name) for name in twice), *errors]


def schedules(values: Any) -> Iterator[tuple[str, str]]:
    """The name and the schedule of each job of a list that has both, also of jobs that make no sense otherwise."""
    for value in values if isinstance(values, (list, tuple)) else ():
        schedule = value.get("schedule") if isinstance(value, Mapping) else None
        if schedule is not None and schedule != "":
            yield str(value.get("name")), str(schedule)


def _read(value: Any, engine: str) -> tuple[ScheduledJob | None, list[InvalidRequestError]]:
    if not isinstance(value, Mapping):
        return None, [InvalidRequestError("a job is a dictionary of options, not %s." % shown(value))]
    own = options_of(ScheduledJob)
    errors = list(unknown(keys(), value))
    # What is null or empty was not given, as for Ansible's modules: default(omit) may leave either behind.
    given = {key: each for key, each in value.items() if each is not None and each != "" and key in keys()}
    if engine != AUTO and "engine" not in given:
        given["engine"] = engine
    converted: dict[str, Any] = {}
    for key, each in given.items():
        try:
            converted[key] = _converted(key, each)
        except InvalidRequestError as error:
            errors.append(error)
    scheduled, more = read_all(own, {key: each for key, each in converted.items() if key in own})
    content = {"targets" if key == "target" else key: each for key, each in converted.items() if key not in own}
    job, wrong = config.read_content(content)
    errors += [*more, *wrong]
    if errors or job is None:
        return None, errors
    return ScheduledJob(job, {"version": config.FORMAT, **content}, **scheduled), []


def _converted(key: str, value: Any) -> Any:
    """The value as a job file has it. Raises InvalidRequestError for what has no such form."""
    if key == "target":
        return [each if isinstance(each, Mapping) else {"identifier": each} for each in _listed(value)]
    if key == "max_age":
        return seconds(key, value)
    known = _options()[key]
    convert = {"bool": _flag, "int": _integer, "str": _text, "path": _text, "list": _list_of_text}
    return convert.get(known.kind.ansible, _as_it_is)(value)


def seconds(name: str, value: Any) -> int:
    """A duration: a number of seconds, or a number with m, h, d or w behind it. Raises InvalidRequestError."""
    found = _AGE.fullmatch(str(value)) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    if not found:
        raise InvalidRequestError(
            "%s is %s; give seconds, or a number with m, h, d or w behind it, such as 10d." % (name, shown(value))
        )
    return int(found.group(1)) * SECONDS[found.group(2)]


def _options() -> dict[str, Option]:
    return {**options_of(SyncRequest), **options_of(Job), **options_of(ScheduledJob)}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _flag(value: Any) -> Any:
    text = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    return True if text in TRUE else False if text in FALSE else value


def _integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    found = _INTEGER.fullmatch(value) if isinstance(value, str) else None
    return int(found.group(1)) if found else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _list_of_text(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _as_it_is(value: Any) -> Any:
    return value
