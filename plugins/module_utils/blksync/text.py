# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Makes text printable. Names, labels and serial numbers may hold any byte.

The core keeps such values as they were read (undecodable bytes as surrogates, PEP 383) and compares them so. Where a
value leaves the core, these functions make it text that every JSON reader, terminal and log takes.
"""

from __future__ import annotations

import re
from typing import Any

_LAYOUT = "\t\n"
# Control characters (Unicode category Cc, NUL included) and lone surrogates (Cs): no reader has to take them.
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """One line of text: each unprintable byte or character as ``\\xNN``, other lone surrogates as ``\\uNNNN``."""
    return _UNPRINTABLE.sub(_escaped, text)


def human_bytes(count: float) -> str:
    """A number of bytes as people read it: "512 bytes", "4.8 MiB"."""
    if count < 1024:
        return "%d bytes" % count
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024.0
        if count < 1024:
            return "%.1f %s" % (count, unit)
    return "%.1f TiB" % (count / 1024.0)


def cleaned(data: Any) -> Any:
    """A copy of JSON-able data in which every string is printable, the keys of dicts included.

    Line ends and tabs stay in strings: some results have several lines. Tuples become lists, as JSON has it.
    """
    if isinstance(data, str):
        return _UNPRINTABLE.sub(lambda match: match.group() if match.group() in _LAYOUT else _escaped(match), data)
    if isinstance(data, dict):
        return {cleaned(key): cleaned(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [cleaned(value) for value in data]
    return data


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    return "\\x%02x" % code if code < 0x100 else "\\u%04x" % code
