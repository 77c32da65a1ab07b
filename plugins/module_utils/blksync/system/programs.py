# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds other programs, and gives the environment in which they run.

Root must not start a program that another user put into a directory of PATH: an empty entry of PATH is the current
directory, and other users can write to some directories. So programs are named by absolute paths.
"""

from __future__ import annotations

import os
import shutil
import stat

# Where distributions install programs; sudo, cron and systemd give a shorter PATH now and then.
DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def find(name: str) -> str:
    """The absolute path of the executable program of that name, or ""."""
    return shutil.which(name, path=search_path()) or ""


def search_path() -> str:
    """The trusted directories of PATH in their order, then DIRECTORIES, joined by colons."""
    listed = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if _is_trusted(entry)]
    return os.pathsep.join(dict.fromkeys([*listed, *DIRECTORIES]))


def environment() -> dict[str, str]:
    """This process's environment, with untranslated messages and the search path above."""
    return dict(os.environ, LC_ALL="C", PATH=search_path())


def _is_trusted(directory: str) -> bool:
    """Whether it is absolute, and nobody but root and the user of this process can put programs there."""
    if directory in DIRECTORIES:
        return True
    if not os.path.isabs(directory):
        return False
    try:
        status = os.stat(directory)
    except OSError:
        return False
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & WRITABLE_BY_OTHERS
