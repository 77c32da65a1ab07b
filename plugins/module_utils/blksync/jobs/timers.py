# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Asks systemd for the next run of each job."""

from __future__ import annotations

import json
from typing import Any

from ..system import programs

UNIT_PREFIX, UNIT_SUFFIX = "blksync@", ".timer"
# systemd 249 and later (Debian 12, Ubuntu 22.04) print JSON; an older one fails and no next run is known.
LIST_TIMERS = ("list-timers", "--all", "--output=json", UNIT_PREFIX + "*" + UNIT_SUFFIX)
PATIENCE = 10.0  # seconds


def next_runs() -> dict[str, float]:
    """The next run of each job that has a timer, in seconds since the epoch; empty if there is no systemd."""
    systemctl = programs.find("systemctl")
    if not systemctl:
        return {}
    try:
        answer = programs.run((systemctl, *LIST_TIMERS), PATIENCE)
    except OSError:
        return {}
    return parse(answer.stdout.decode("utf-8", "replace"))


def parse(text: str) -> dict[str, float]:
    """systemctl's output for LIST_TIMERS, where ``next`` is microseconds since the epoch, 0 or null for none."""
    try:
        timers: Any = json.loads(text)
    except ValueError:
        return {}
    found = {}
    for timer in timers if isinstance(timers, list) else ():
        unit, moment = timer.get("unit") or "", timer.get("next")
        if unit.startswith(UNIT_PREFIX) and unit.endswith(UNIT_SUFFIX) and isinstance(moment, int) and moment > 0:
            found[unit[len(UNIT_PREFIX) : -len(UNIT_SUFFIX)]] = moment / 1e6
    return found
