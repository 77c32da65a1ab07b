# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds and runs other programs. Nothing else in the core starts a program.

Root must not start a program that another user put into a directory of PATH: an empty entry of PATH is the current
directory, and other users can write to some directories. So programs are named by absolute paths.

ansible-test asks for AnsibleModule.run_command() instead of subprocess (pylint's ansible-bad-function). The core has
no AnsibleModule, since the command runs without Ansible, and run_command() has no time limit.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import suppress
from typing import Callable, Sequence

# Where distributions install programs; sudo, cron and systemd give a shorter PATH now and then.
DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
KILLED_PATIENCE = 1.0  # seconds that a killed program has to end


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


def run(argv: Sequence[str], patience: float, descriptors: Sequence[int] = ()) -> subprocess.CompletedProcess[bytes]:
    """Start a program as ``start`` does, and return its exit status and both outputs.

    Raises OSError if it cannot be started, TimeoutError (an OSError too) if it does not end within ``patience``
    seconds. It is killed then, and waited for at most KILLED_PATIENCE: a program that hangs in the kernel, on a sick
    disk or a frozen file system, does not die.
    """
    child = start(argv, descriptors)
    try:
        output, errors = child.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise TimeoutError("%s did not end within %g seconds" % (argv[0], patience)) from None
    finally:
        if child.poll() is None:
            child.kill()
            with suppress(subprocess.TimeoutExpired):
                child.wait(KILLED_PATIENCE)
        close_outputs(child)
    return subprocess.CompletedProcess(argv, child.returncode, output, errors)


def start(
    argv: Sequence[str], descriptors: Sequence[int] = (), prepare: Callable[[], None] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program with pipes for both outputs, no input, in the root directory and in ``environment()``.

    ``argv`` begins with its absolute path. It inherits ``descriptors`` under their own numbers, and calls ``prepare``
    before it becomes the program. Raises OSError, or SubprocessError if ``prepare`` fails.
    """
    return subprocess.Popen(  # pylint: disable=ansible-bad-function
        argv,
        stdin=subprocess.DEVNULL,  # descriptors 0 to 2 always exist: else a device could become one of them
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=descriptors,
        cwd="/",
        env=environment(),
        preexec_fn=prepare,  # noqa: PLW1509  # the one that we have takes no lock that another thread could hold
    )


def close_outputs(child: subprocess.Popen[bytes]) -> None:
    """Close our ends of the pipes."""
    for pipe in (child.stdout, child.stderr):
        if pipe:
            pipe.close()


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
