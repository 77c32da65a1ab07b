# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Creates and removes instances in tracefs whose names contain the process that made them."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterator

from ..errors import BlksyncError, LiveDoubtError
from .mountinfo import read_mounts
from .processes import is_alive

PREFIX = "blksync."


def find_tracefs() -> str:
    """Where tracefs is mounted, as systemd does on every machine that has it. Raises LiveDoubtError."""
    mounts = [mount for mount in read_mounts() if mount.fstype == "tracefs"]
    if not mounts:
        raise LiveDoubtError(
            "tracefs_missing",
            "tracefs is not mounted",
            "Mount it: mount -t tracefs nodev /sys/kernel/tracing.",
        )
    return mounts[-1].mountpoint


def is_tracing(process: dict[str, Any]) -> bool:
    """Whether the process, as identify() names it, has a trace of ours."""
    with contextlib.suppress(BlksyncError, OSError):
        return any(owner == process for _name, owner in _ours(os.path.join(find_tracefs(), "instances")))
    return False


def remove_instances() -> None:
    """Remove the traces of runs that were killed. A trace that cannot be removed is left to the next run."""
    with contextlib.suppress(BlksyncError, OSError):
        directory = os.path.join(find_tracefs(), "instances")
        for name, process in _ours(directory):
            if not is_alive(process):
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(directory, name))


def _ours(directory: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and process of every instance of ours."""
    for name in os.listdir(directory):
        parts = name[len(PREFIX) :].split(".")
        if name.startswith(PREFIX) and len(parts) == 2 and parts[0].isdigit():
            yield name, {"pid": int(parts[0]), "start": parts[1]}
