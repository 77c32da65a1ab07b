# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tracefs for the tests: mounted in their own mount namespace where the machine has not mounted it."""

from __future__ import annotations

import os
from pathlib import Path

from blksync.live.trace import EVENT
from blksync.system import libc
from blksync.system.mountinfo import read_mounts

DIR = Path("/sys/kernel/tracing")


def missing() -> str:
    """Why the kernel cannot be asked for the writes to a disk; empty where it can."""
    if "tracefs" not in Path("/proc/filesystems").read_text().split():
        return "needs a kernel with tracefs"
    return ""


def mount() -> str:
    """Mount it for this process and its children, if it is not mounted. Returns why that is not possible, or ""."""
    if not is_mounted():
        try:
            libc.mount("nodev", str(DIR), "tracefs", 0, "")
        except OSError as error:
            return "tracefs cannot be mounted (%s)" % error
    return "" if (DIR / EVENT).is_dir() else "the kernel has no event block_bio_queue"


def unmount() -> None:
    """Take it away from this process and its children, however often it is mounted."""
    while is_mounted():
        for each in read_mounts():
            if each.fstype == "tracefs":
                libc.unmount(each.mountpoint)


def is_mounted() -> bool:
    return any(each.fstype == "tracefs" for each in read_mounts())


def instances(of: int) -> list[str]:
    """The traces of the sync with that process number."""
    return [name for name in os.listdir(DIR / "instances") if name.startswith("blksync.%d." % of)]


def leftovers() -> list[str]:
    """The traces of syncs that are dead; others may be at work on this machine."""
    names = [name for name in os.listdir(DIR / "instances") if name.startswith("blksync.")]
    return [name for name in names if not os.path.exists("/proc/" + name.split(".")[1])]
