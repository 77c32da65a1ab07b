# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts and state directories that belong to one test process and its children, whoever else tests on this machine.

Every sync puts back what a killed one left, as the state files in /run/blksync say: without this a sync in another
process would undo what a test is about to look at, and a process with a copy of all mounts would keep devices busy.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from blksync.paths import RUN_DIR, STATE_DIR
from blksync.system import libc

CLONE_NEWNS = 0x20000  # linux/sched.h; os.unshare() came with Python 3.12
MS_REC = 0x4000  # linux/mount.h


def take() -> None:
    """Move the calling thread, and all that it starts from now on, into a mount namespace of its own. Needs root."""
    unshare()
    for directory in (RUN_DIR, STATE_DIR):
        Path(directory).mkdir(mode=0o700, exist_ok=True)
        libc.mount("blksync-tests", directory, "tmpfs", 0, "mode=700")
    assert os.listdir(RUN_DIR) == []


def forget() -> None:
    """Remove the records of all disks: each test makes new ones, and some of the same identifiers."""
    if os.path.ismount(STATE_DIR):
        for entry in os.scandir(STATE_DIR):
            shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)


def unshare() -> None:
    """As take(), with nothing mounted yet: from now on no mount of this process is seen elsewhere, or the reverse."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    libc.mount(None, "/", None, MS_REC | libc.MS_PRIVATE)
