# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How far a running sync is, in a file in /run/blksync: for ``blksync status``, which root asks.

The file is written while sources are frozen. So it is written only if it lies in memory (tmpfs): a file system on a
disk could be the one that is frozen, and the write would wait for its own run.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Callable

from ..errors import BlksyncError
from ..paths import RUN_DIR
from ..system import private_dir
from ..system.mountinfo import read_mounts
from .disk_record import DiskKey

COPYING, VERIFYING = "copying", "verifying"
IN_MEMORY = ("tmpfs", "ramfs")
EVERY = 1.0  # seconds between two writes
_LENGTH = 512  # bytes, always: one write that is never longer or shorter than the one before


@dataclass(frozen=True)
class State:
    """``done`` of ``size`` bytes are copied, of all partitions together, ``seconds`` after the first one began.

    ``phase`` is COPYING or VERIFYING, of ``partition``.
    """

    phase: str
    partition: int
    done: int
    size: int
    seconds: float

    @property
    def percent(self) -> int:
        """How much of the copy is done."""
        return int(100 * self.done / self.size) if self.size else 100

    @property
    def seconds_left(self) -> float | None:
        """How long the copy takes from now on, if it goes on as it did so far; None if nobody can know."""
        return self.seconds * (self.size - self.done) / self.done if self.done else None


class ProgressFile:
    """The file of one run on one disk. No error of it ends the run."""

    def __init__(self, key: DiskKey, now: Callable[[], float] = time.monotonic) -> None:
        self._name = _name(key)
        self._now = now
        self._next = 0.0
        self._fd = -1
        with suppress(BlksyncError, OSError), private_dir.opened(RUN_DIR) as directory:
            if _in_memory(directory):
                self._fd = private_dir.open_file(directory, self._name, os.path.join(RUN_DIR, self._name))

    def write(self, state: State) -> None:
        """Write it unless that was done just now."""
        if self._fd >= 0 and self._now() >= self._next:
            self._next = self._now() + EVERY
            with suppress(OSError):
                os.pwrite(self._fd, json.dumps(asdict(state)).encode().ljust(_LENGTH), 0)

    def remove(self) -> None:
        """The run is over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with suppress(OSError):
                os.unlink(os.path.join(RUN_DIR, self._name))


def read(key: DiskKey) -> State | None:
    """What the run on the disk wrote last; None if there is nothing, or this user may not look."""
    try:
        with open(os.path.join(RUN_DIR, _name(key)), "rb") as file:
            return State(**json.loads(file.read(_LENGTH)))
    except (OSError, ValueError, TypeError):
        return None


def _name(key: DiskKey) -> str:
    return "progress-%s.json" % key.name


def _in_memory(directory: int) -> bool:
    device = os.fstat(directory).st_dev
    devno = "%d:%d" % (os.major(device), os.minor(device))
    return any(mount.devno == devno and mount.fstype in IN_MEMORY for mount in read_mounts())
