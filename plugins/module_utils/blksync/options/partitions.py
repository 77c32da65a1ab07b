# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The option ``partitions``, however it is written. Pure."""

from __future__ import annotations

import json
import re

from ..errors import InvalidRequestError

EVERY = "all"  # each partition that the source has

_NUMBERS = "Give the numbers of partitions, such as 1,2, or the word all."
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,8})", re.ASCII)
_IN_BRACKETS = re.compile(r"\[(.*)\]|\((.*)\)")


def parse_partitions(value: object, name: str = "partitions") -> tuple[int, ...] | str:
    """``partitions`` as YAML, an INI inventory, JSON or a command line hands it over.

    That is the word "all", a number, a list of numbers, each of them perhaps as text, or a text of numbers with commas
    between (``1,2``, ``[1, 2]``). A module must take it as ``type: raw``: with ``type: list`` Ansible makes numbers of
    true and 1.0 without a word. ``name`` is for messages. Raises InvalidRequestError for all else.
    """
    if value == EVERY:
        return EVERY
    if isinstance(value, str):
        brackets = _IN_BRACKETS.fullmatch(value.strip())
        text = (brackets.group(1) or brackets.group(2) or "") if brackets else value
        value = text.split(",") if text.strip() else []
    items = value if isinstance(value, (list, tuple)) else (value,)
    found = [_partition_number(item) for item in items]
    wrong = [json.dumps(item, default=repr) for item, number in zip(items, found) if number is None]
    if wrong:
        raise InvalidRequestError("%s holds %s, which is no partition number." % (name, ", ".join(wrong)), _NUMBERS)
    parsed = tuple(number for number in found if number is not None)
    _check(parsed, name)
    return parsed


def _check(numbers: tuple[int, ...], name: str) -> None:
    if not numbers:
        raise InvalidRequestError("%s is empty." % name, _NUMBERS)
    wrong = [number for number in numbers if number < 1]
    if wrong:
        raise InvalidRequestError("%s holds %s; partition numbers start at 1." % (name, ", ".join(map(str, wrong))))
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise InvalidRequestError("%s names %s more than once." % (name, ", ".join(map(str, twice))))


def _partition_number(item: object) -> int | None:
    """None for what is no whole number, neither as such nor as text."""
    if isinstance(item, str):
        return int(item) if _NUMBER.fullmatch(item.strip()) else None
    return item if isinstance(item, int) and not isinstance(item, bool) else None
