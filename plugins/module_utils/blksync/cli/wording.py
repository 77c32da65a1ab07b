# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Writes options in messages of the core as the command line has them.

The core writes "the option power_off" and "set the option power_off to false", which fits a task and a job file. A
person who typed ``--power-off`` looks for that.
"""

from __future__ import annotations

import re
from typing import Mapping

from ..options.kinds import FLAG, Option
from .arguments import flag

_SETTING = re.compile(r"\b([Ss])et the option (\w+) to (\w+(?:,\w+)*)")
_NAME = re.compile(r"\bthe option (\w+)")


def as_flags(text: str, options: Mapping[str, Option]) -> str:
    """The text with these options as flags; others stay as they are."""

    def setting(match: re.Match[str]) -> str:
        capital, name, value = match.groups()
        if name not in options:
            return match.group()
        words = _words(flag(name, options[name]), options[name], value)
        return words[0].upper() + words[1:] if capital == "S" else words

    def named(match: re.Match[str]) -> str:
        name = match.group(1)
        return flag(name, options[name]) if name in options else match.group()

    return _NAME.sub(named, _SETTING.sub(setting, text))


def _words(written: str, option: Option, value: str) -> str:
    if option.kind is not FLAG:
        return "use %s %s" % (written, value)
    # The flag stands for the value that is not the default.
    return "leave out %s" % written if (value == "true") == option.default else "add %s" % written
