# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Identifies processes and reads their state (proc(5))."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Mapping


def identify(pid: int) -> dict[str, Any]:
    """A process by number and start time, since numbers are used again (field 22 of stat)."""
    return {"pid": pid, "start": _start_time(pid)}


def lasting_identity(pid: int) -> dict[str, Any]:
    """As ``identify``, for a file that outlives a boot: with random/boot_id of proc(5)."""
    return {**identify(pid), "boot": _boot()}


def is_alive_now(process: Mapping[str, Any]) -> bool:
    """Whether the process that lasting_identity() named still runs, since no other boot than this one."""
    return process.get("boot") == _boot() and is_alive(dict(process))


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def is_alive(process: dict[str, Any]) -> bool:
    """Whether the process that identify() named still runs."""
    return bool(process["start"]) and _start_time(process["pid"]) == process["start"]


def waits_in_kernel(pid: int) -> bool:
    """Whether nothing reaches the process at the moment (state D), not even SIGKILL."""
    return status(pid)[:1] == ["D"]


def status(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat: state, parent, process group, session and so on; empty without it."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def is_running(script: str) -> bool:
    """Whether a process runs this script, started by its complete path as shells and systemd do it.

    The path stands in the command line as soon as the process exists: behind the interpreter and its options.
    """
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open("/proc/%s/cmdline" % pid, "rb") as file:
            if os.fsencode(script) in file.read().split(b"\0")[1:4]:
                return True
    return False


def _start_time(pid: int) -> str:
    """In clock ticks after boot; empty if there is no such process or only its remains."""
    fields = status(pid)
    return "" if not fields or fields[0] in ("Z", "X") else fields[19]
