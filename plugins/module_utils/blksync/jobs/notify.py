# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Shows a desktop notification to each logged-in user. If this fails, nothing else is affected.

A user's session bus is the socket /run/user/UID/bus (pam_systemd(8), systemd's dbus.socket): a user with this
socket is logged in.
"""

from __future__ import annotations

import logging
import os
import pwd
import stat
from typing import Sequence

from ..system import programs
from ..text import cleaned
from .run import Result

RUNTIME_DIRS = "/run/user"
USER_PATH = "/usr/local/bin:/usr/bin:/bin"
PATIENCE = 10.0  # seconds: a desktop that hangs must not hold us up
_log = logging.getLogger("blksync")


def notify_of(job: str, results: Sequence[Result]) -> None:
    """Say on every desktop what came of a job's run."""
    notify_users(*message(job, results), critical=any(result.error for result in results))


def notify_users(summary: str, body: str, critical: bool = False, directories: str = RUNTIME_DIRS) -> None:
    """Show it on every desktop; what stands against it goes to the debug log."""
    missing = [program for program in ("notify-send", "setpriv") if not programs.find(program)]
    if missing:
        _log.debug("no notification: %s not found", ", ".join(missing))
        return
    for uid in users_with_bus(directories):
        try:
            command = command_for(pwd.getpwuid(uid), os.path.join(directories, str(uid)), summary, body, critical)
            done = programs.run([programs.find(command[0]), *command[1:]], PATIENCE)
        except (KeyError, OSError) as error:
            _log.debug("no notification to user %d: %s", uid, error)
            continue
        if done.returncode:
            _log.debug("no notification to user %d: %s", uid, done.stderr.decode("utf-8", "replace").strip())


def message(job: str, results: Sequence[Result]) -> tuple[str, str]:
    """Heading and text of the notification."""
    errors = [result.error.message for result in results if result.error]
    if errors:
        return "Backup %s failed" % job, "\n".join(errors)
    reports = [result.report for result in results if result.report]
    disks = [report.plan.target_disk for report in reports]
    names = [" ".join(filter(None, (disk.model, disk.serial))) for disk in disks]
    described = ", ".join(name for name in names if name)
    partial = [report for report in reports if report.left_out]
    if partial:  # of one source, so the same for each target
        return "Backup disk can be disconnected", "Backup %s: %s." % (job, partial[0].copied_text(described))
    return "Backup disk can be disconnected", "The backup %s is complete%s." % (job, described and ": " + described)


def users_with_bus(directories: str = RUNTIME_DIRS) -> list[int]:
    """The user numbers that have a session bus of their own."""
    try:
        entries = os.listdir(directories)
    except OSError:
        return []
    return sorted(int(entry) for entry in entries if entry.isdigit() and _is_bus(directories, entry))


def command_for(user: pwd.struct_passwd, runtime_dir: str, summary: str, body: str, critical: bool) -> list[str]:
    """notify-send as that user and nobody else, with the environment of its session bus."""
    return [
        "setpriv",
        "--reuid=%d" % user.pw_uid,
        "--regid=%d" % user.pw_gid,
        "--init-groups",
        "env",
        "-i",
        "PATH=%s" % USER_PATH,
        "HOME=%s" % user.pw_dir,
        "XDG_RUNTIME_DIR=%s" % runtime_dir,
        "DBUS_SESSION_BUS_ADDRESS=unix:path=%s/bus" % runtime_dir,
        "notify-send",
        "--app-name=blksync",
        "--icon=drive-removable-media",
        "--urgency=%s" % ("critical" if critical else "normal"),
        "--",
        cleaned(summary),  # libnotify takes UTF-8 alone
        cleaned(body),
    ]


def _is_bus(directories: str, entry: str) -> bool:
    try:
        status = os.lstat(os.path.join(directories, entry, "bus"))
    except OSError:
        return False
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == int(entry)
