# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The command lines of blocksync-fast.

The program ignores options that it does not understand, and then writes. So its command lines are built only here:
long options, each with its value in the same argument, and sizes in bytes (it reads "1T" as 1).
"""

from __future__ import annotations

from .buffer import Geometry


def version_argv(program: str) -> list[str]:
    """Ask for the version."""
    return [program, "-V"]


def list_algorithms_argv(program: str) -> list[str]:
    """Ask for the hash algorithms."""
    return [program, "--list-algos"]


def sync_argv(program: str, source: str, target: str, geometry: Geometry) -> list[str]:
    """Compare two devices of equal size and copy what differs.

    Without --sync-writes: it flushes after every buffer, changed or not, which took ten times as long on a loop
    device, and the program ignores the result. The caller flushes once, and checks. Raises ValueError for a path that
    is not absolute: "-" would mean standard input, and the program creates a target that does not exist.
    """
    for path in (source, target):
        if not path.startswith("/"):
            raise ValueError("%r is not an absolute path" % path)
    return [
        program,
        "--src=" + source,
        "--dst=" + target,
        "--block-size=%d" % geometry.block,
        "--buffer-size=%d" % geometry.buffer,
        "--progress",
    ]
