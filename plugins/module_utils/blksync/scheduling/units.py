# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The files that make systemd start a job: its timer, its service settings, the directories of its metrics. Pure.

The format is that of systemd.syntax(7). Each text of the user has been checked to be one line (see ``options.kinds``)
and, as far as systemd can check it, by systemd.
"""

from __future__ import annotations

from typing import Sequence

DOCUMENTATION = "https://github.com/blksync/backup/tree/main/docs"


def timer(name: str, schedule: str, random_delay: str) -> str:
    """The timer of a job. ``random_delay`` is a time span of systemd.time(7)."""
    return """\
[Unit]
Description=When the backup disk is made equal to the main disk (job %s)
Documentation=%s

[Timer]
OnCalendar=%s
Persistent=true
RandomizedDelaySec=%s
AccuracySec=1s

[Install]
WantedBy=timers.target
""" % (name, DOCUMENTATION, schedule, random_delay)


def service_settings(on_success: Sequence[str], on_failure: Sequence[str]) -> str:
    """The settings of a job's service: the units to start afterwards."""
    lines = ["OnSuccess=%s" % unit for unit in on_success] + ["OnFailure=%s" % unit for unit in on_failure]
    return "".join("%s\n" % line for line in ("[Unit]", *lines))


def metrics_settings(directory: str) -> str:
    """What lets the service that writes metrics write into a directory, which may be missing."""
    escaped = directory.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '[Service]\nReadWritePaths="-%s"\n' % escaped


def comment(text: str) -> str:
    """Lines of text as comments. A backslash at the end would join the next line in some parsers."""
    return "".join("# %s\n" % line.rstrip().rstrip("\\") for line in text.splitlines() if line.strip())
