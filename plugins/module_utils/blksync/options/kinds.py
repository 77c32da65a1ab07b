# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What an option is, and how a value from any door becomes the value of a request. Pure.

A door is whatever takes options from the user: a module, the command line, a job file. The fields of a dataclass that
are declared with ``option`` or ``required`` are a table of options; ``options_of`` returns that table.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Collection, Mapping

from ..discovery.identifiers import Identifier, parse_identifier
from ..errors import InvalidRequestError
from ..text import printable
from .partitions import parse_partitions

REQUIRED = object()  # in place of a default
_OPTION = "option"  # the key in a field's metadata
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_SHOWN = 60  # characters of a wrong value
LEAST_RATE = 1 << 20  # bytes a second: the native engine reads and writes windows of that size


@dataclass(frozen=True)
class Kind:
    """What the values of an option are.

    ``ansible`` is the type in an argument spec; it is "raw" if Ansible would turn other values into this type without a
    word. ``read`` gets the option's name and a value, and returns what a request holds, or raises InvalidRequestError.
    What ``read`` has returned, it takes again. ``from_text`` makes of a command line's word what YAML would make of it.
    """

    ansible: str
    read: Callable[[str, Any], Any]
    from_text: Callable[[str], Any] = str


@dataclass(frozen=True)
class Option:
    """One option. ``metavar`` and ``help`` are for the command line, ``minimum`` and ``maximum`` for numbers."""

    kind: Kind
    default: Any = REQUIRED
    choices: tuple[Any, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    metavar: str = ""
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED

    @property
    def empty(self) -> bool:
        """Whether the default is nothing at all, which YAML and JSON write as null."""
        return self.default in (None, "", ())

    def read(self, name: str, value: Any) -> Any:
        """The value as a request holds it. Raises InvalidRequestError."""
        if (value is None and self.empty) or (value == "" and self.default == ""):
            return self.default
        if self.choices and value not in self.choices:
            choices = ", ".join(map(str, self.choices))
            raise InvalidRequestError("%s is %s; choose one of %s." % (name, shown(value), choices))
        read = self.kind.read(name, value)
        if self.minimum is not None and read < self.minimum:
            raise InvalidRequestError("%s is %d; give at least %d." % (name, read, self.minimum))
        if self.maximum is not None and read > self.maximum:
            raise InvalidRequestError("%s is %d; give at most %d." % (name, read, self.maximum))
        return read


def option(kind: Kind, default: Any, **more: Any) -> Any:
    """A dataclass field that is an option; ``more`` as Option has it."""
    return field(default=default, metadata={_OPTION: Option(kind, default, **more)})  # pylint: disable=invalid-field-call


def required(kind: Kind, **more: Any) -> Mapping[str, Any]:
    """The metadata of a field that is an option without a default."""
    return {_OPTION: Option(kind, **more)}


def same_as(table: type, name: str) -> Any:
    """A dataclass field that is the option of that name in another table."""
    found = options_of(table)[name]
    return field(default=found.default, metadata={_OPTION: found})  # pylint: disable=invalid-field-call


def options_of(table: type) -> dict[str, Option]:
    """The options among a dataclass's fields, by name."""
    return {found.name: found.metadata[_OPTION] for found in fields(table) if _OPTION in found.metadata}


def read_all(
    options: Mapping[str, Option], values: Mapping[str, Any], named: Callable[[str], str] = str
) -> tuple[dict[str, Any], list[InvalidRequestError]]:
    """The values that make sense as a request holds them, and an error for each of the others.

    A value of no option is ignored (see ``unknown``). ``named`` writes the name of an option as the user does.
    """
    read: dict[str, Any] = {}
    errors: list[InvalidRequestError] = []
    for name, known in options.items():
        try:
            if name in values:
                read[name] = known.read(named(name), values[name])
            elif known.required:
                raise InvalidRequestError("%s is missing." % named(name))
        except InvalidRequestError as error:
            errors.append(error)
    return read, errors


def read_each(name: str, values: Any, read: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    """A list of which each item was read by ``read``. Raises InvalidRequestError for all items that make no sense."""
    if not isinstance(values, (list, tuple)):
        raise InvalidRequestError("%s is %s; give a list." % (name, shown(values)))
    items: list[Any] = []
    errors: list[InvalidRequestError] = []
    for index, value in enumerate(values):
        try:
            items.append(read("%s[%d]" % (name, index), value))
        except InvalidRequestError as error:
            errors.append(error)
    raise_all(errors)
    return tuple(items)


def raise_all(errors: Collection[InvalidRequestError]) -> None:
    """Raise one InvalidRequestError for all of them, if there are any."""
    if len(errors) == 1:
        raise next(iter(errors))
    if errors:
        problems = [problem for error in errors for problem in error.problems]
        raise InvalidRequestError(" ".join(problems), problems=problems)


def shown(value: Any) -> str:
    """A wrong value in a message."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else "%s..." % text[: _SHOWN - 3]


def check_path(name: str, value: object) -> str:
    """The value, an absolute path. Raises InvalidRequestError for all else."""
    if not isinstance(value, str) or not os.path.isabs(value):
        raise InvalidRequestError("%s is %s; give an absolute path." % (name, shown(value)))
    try:
        possible = b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InvalidRequestError("%s is %s; no file can have that name." % (name, shown(value)))
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError("%s is %s; give a text that is not empty." % (name, shown(value)))
    if printable(value) != value:
        raise InvalidRequestError(
            "%s is %s; control characters and lone surrogates do not belong there." % (name, shown(value))
        )
    return value


def _number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError("%s is %s; give a whole number." % (name, shown(value)))
    return value


def _rate(name: str, value: object) -> int:
    rate = _number(name, value)
    if rate and rate < LEAST_RATE:
        raise InvalidRequestError(
            "%s is %d bytes a second; give at least %d (1 MiB a second), or 0 for no limit." % (name, rate, LEAST_RATE)
        )
    return rate


def _number_from_text(text: str) -> Any:
    return int(text) if _NUMBER.fullmatch(text.strip()) else text


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError("%s is %s; give true or false." % (name, shown(value)))
    return value


def _disk(name: str, value: Any) -> Any:
    parsed = parse_identifier(value, name)
    return parsed if isinstance(value, Identifier) else _text(name, value)


def _disks(name: str, value: Any) -> tuple[Any, ...]:
    return read_each(name, value if isinstance(value, (list, tuple)) else [value], _disk)


def _partitions(name: str, value: Any) -> Any:
    return parse_partitions(value, name)


TEXT = Kind("str", _text)
NUMBER = Kind("int", _number, _number_from_text)
RATE = Kind("int", _rate, _number_from_text)  # bytes a second, 0 for no limit
FLAG = Kind("bool", _flag)
PATH = Kind("path", check_path)
DISK = Kind("raw", _disk)  # YAML makes numbers of unquoted identifiers: 01234567 is octal
DISKS = Kind("raw", _disks)
PARTITIONS = Kind("raw", _partitions)
