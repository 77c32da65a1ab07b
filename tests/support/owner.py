# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose something is that tests make: a tag of the process that made it, in names of images and in the environment.

The tag is "NAMESPACE.PID.START": the inode of the PID namespace, the process number, the start time of the process in
clock ticks after boot (proc(5), stat, field 22), since numbers are used again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

VARIABLE = "BLKSYNC_TEST_OWNER"
"""What a session's processes have in their environment: the session's tag."""

IMAGE = re.compile(r"blksync-test\.(\d+\.\d+\.\d+)\..*\.img")
TAG = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def tag() -> str:
    """The tag of this process."""
    return "%d.%d.%s" % (_namespace(), os.getpid(), _start_time(os.getpid()))


def image_prefix(name: str) -> str:
    """How the name of an image of this process begins."""
    return "blksync-test.%s.%s-" % (tag(), name)


def is_dead(owner: str) -> bool:
    """Whether the process with that tag has ended; False for what is no tag and for one of another PID namespace."""
    match = TAG.fullmatch(owner)
    if not match or int(match[1]) != _namespace():
        return False
    return _start_time(int(match[2])) != match[3]


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _start_time(pid: int) -> str:
    """Empty where there is no such process, or only its remains."""
    try:
        fields = Path("/proc/%d/stat" % pid).read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
