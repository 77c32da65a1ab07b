# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a sync and its guardian send each other: one JSON object a line, with its type. Pure.

The sync asks (Prepare, Quiesce, Restore, End), one question at a time. The guardian says Hello once, answers each
question but End with Done, Failed or Restored, and sends Records before each step. Restored also comes unasked, if the
guardian had to restore by itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Callable

from .runner import Failure
from .step import Step, StepRecord, StepReport


class MalformedMessageError(Exception):
    """A line is none of these messages."""


@dataclass(frozen=True)
class Message:
    """Any of them."""


@dataclass(frozen=True)
class Prepare(Message):
    """Do everything slow that these steps need and that stops nobody."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Quiesce(Message):
    """Do these steps, after those that are done. All may last for ``timeout`` seconds, counted from the first."""

    steps: tuple[Step, ...]
    timeout: float


@dataclass(frozen=True)
class Restore(Message):
    """Undo all steps."""


@dataclass(frozen=True)
class End(Message):
    """Undo what is not undone yet, and end."""


@dataclass(frozen=True)
class Hello(Message):
    """The guardian is ready. ``pid`` is its process number, ``notes`` are sentences for the user."""

    pid: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Records(Message):
    """What has to be undone if the guardian ends now: whoever has the last records can put everything back."""

    records: tuple[StepRecord, ...]


@dataclass(frozen=True)
class Done(Message):
    """What was asked for is done. ``problem`` is a sentence for the user, or empty."""

    problem: str = ""


@dataclass(frozen=True)
class Failed(Message):
    """What was asked for could not be done, and what was done of it is undone.

    ``kind``, ``message`` and ``hint`` are those of the error, ``attempts`` the file systems that were frozen in vain.
    """

    kind: str
    message: str
    hint: str = ""
    attempts: tuple[StepReport, ...] = ()


@dataclass(frozen=True)
class Restored(Message):
    """All steps are undone, but for the ``failures``. ``reason`` says why the copy is inconsistent, or is empty."""

    records: tuple[StepRecord, ...]
    failures: tuple[Failure, ...] = ()
    reason: str = ""


def encode(message: Message) -> bytes:
    """One line, with its end. Bytes in paths that are no UTF-8 (lone surrogates) come back as they were."""
    return json.dumps({"type": _name(type(message)), **asdict(message)}).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """The message in a line. Raises MalformedMessageError."""
    try:
        data = json.loads(line)
        kind = _TYPES[data.pop("type")]
        decoders = _FIELDS[kind]
        if set(data) != set(decoders):
            raise ValueError("it has the fields %s" % sorted(data))
        return kind(**{name: decoders[name](value) for name, value in data.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedMessageError("no message: %r (%s)" % (line[:100], error)) from error


def _of(expected: type) -> Callable[[Any], Any]:
    """A decoder that takes values of this type and no other; bool is not int."""

    def decoded(value: Any) -> Any:
        if type(value) is not expected:  # pylint: disable=unidiomatic-typecheck
            raise TypeError("%r is no %s" % (value, expected.__name__))
        return value

    return decoded


def _each(decoder: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decoder of lists."""
    as_list = _of(list)
    return lambda value: tuple(decoder(item) for item in as_list(value))


def _seconds(value: Any) -> float:
    return float(value if type(value) is int else _of(float)(value))  # pylint: disable=unidiomatic-typecheck


def _failure(value: Any) -> Failure:
    return Failure(**_of(dict)(value))


_text = _of(str)
_steps, _records = _each(Step.from_data), _each(StepRecord.from_data)
_FIELDS: dict[type[Message], dict[str, Callable[[Any], Any]]] = {
    Prepare: {"steps": _steps},
    Quiesce: {"steps": _steps, "timeout": _seconds},
    Restore: {},
    End: {},
    Hello: {"pid": _of(int), "notes": _each(_text)},
    Records: {"records": _records},
    Done: {"problem": _text},
    Failed: {"kind": _text, "message": _text, "hint": _text, "attempts": _each(StepReport.from_data)},
    Restored: {"records": _records, "failures": _each(_failure), "reason": _text},
}


def _name(kind: type[Message]) -> str:
    return kind.__name__.lower()


_TYPES = {_name(kind): kind for kind in _FIELDS}
