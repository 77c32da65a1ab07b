# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Moves the guardian out of the sync's control group, so that it survives the end of a session or a service."""

from __future__ import annotations

import os
import time

from ..system import programs

BOOTED = "/run/systemd/system"  # sd_booted(3)
PATIENCE = 5.0  # seconds
POLL = 0.01


def move_to_scope(pid: int) -> str:
    """Put the process into a transient scope unit of its own. Returns why not, or "" where it is done or not needed.

    The scope's default dependencies end it, with SIGTERM, early in a shutdown.
    """
    busctl = programs.find("busctl")
    if not os.path.isdir(BOOTED) or not busctl:
        return ""
    before = _cgroup(pid)
    try:
        done = programs.run((busctl, *scope_request(pid)), PATIENCE)
    except OSError as error:
        return "The guardian stays in the caller's control group: %s." % error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip() or "busctl failed (%d)" % done.returncode
        return "The guardian stays in the caller's control group: %s." % words
    deadline = time.monotonic() + PATIENCE
    while _cgroup(pid) == before:  # the answer comes before the deed
        if time.monotonic() > deadline:
            return "The guardian stays in the caller's control group: systemd did not move it."
        time.sleep(POLL)
    return ""


def scope_request(pid: int) -> tuple[str, ...]:
    """busctl's arguments (org.freedesktop.systemd1(5), StartTransientUnit)."""
    properties = (
        ("Description", "s", "Puts file systems back after a blksync copy"),
        ("After", "as", "1", "local-fs.target"),  # at shutdown: restored before file systems are unmounted
        ("CollectMode", "s", "inactive-or-failed"),
        ("PIDs", "au", "1", str(pid)),
    )
    flat = [word for each in properties for word in each]
    return (
        *("--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
        *("org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"),
        *("blksync-guardian-%d.scope" % pid, "fail", str(len(properties)), *flat, "0"),
    )


def _cgroup(pid: int) -> str:
    try:
        with open("/proc/%d/cgroup" % pid, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
