# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The mark of a running job: it shows that a run was killed, and prevents a second run at the same time.

The mark is a small file beside the history that is locked (flock) and not empty while the job runs. The kernel
releases the lock when the process ends. So a mark that is not empty and not locked belongs to a run that was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass

from ..errors import DeviceBusyError

SUFFIX = ".running"
PATIENCE = 1.0  # seconds: status holds its shared lock for an instant only


@dataclass(frozen=True)
class Mark:
    """What a mark says: when the run began (seconds since the epoch), by which process, whether it still runs."""

    start: float
    pid: int
    alive: bool


class RunningMark:
    """The mark of one job, taken by ``begin`` and given back by ``end``.

    Without ``end`` the mark stays behind, which is right for a run that could not put everything back.
    """

    def __init__(self, name: str, directory: str) -> None:
        self._name = name
        self._path = _path(name, directory)
        self._fd = -1

    def begin(self, now: float) -> Mark | None:
        """Lock and write the mark; return what a run left there that did not come to its end.

        Raises DeviceBusyError where the job runs already, OSError where the mark cannot be written.
        """
        os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            self._lock()
            left = _parse(os.pread(self._fd, 1000, 0), alive=False)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps({"start": now, "pid": os.getpid()}).encode(), 0)
            os.fsync(self._fd)
        except BaseException:
            self.release()
            raise
        return left

    def end(self) -> None:
        """The run came to its end, good or bad, and everything is put back."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.fsync(self._fd)
            self.release()

    def release(self) -> None:
        """Let go of the lock and leave the mark as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _lock(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                first = _parse(os.pread(self._fd, 1000, 0), alive=True)
                raise DeviceBusyError(
                    "The job %s is running already%s." % (self._name, ", process %d" % first.pid if first else ""),
                    "Wait for it to end and run again.",
                ) from None


def read(name: str, directory: str) -> Mark | None:
    """The mark of a job, None where no run is under way and none was killed."""
    try:
        fd = os.open(_path(name, directory), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            alive = False
        except BlockingIOError:
            alive = True
        return _parse(os.pread(fd, 1000, 0), alive)
    finally:
        os.close(fd)


def _parse(content: bytes, alive: bool) -> Mark | None:
    try:
        data = json.loads(content)
        return Mark(float(data["start"]), int(data["pid"]), alive)
    except (ValueError, TypeError, KeyError):
        return None


def _path(name: str, directory: str) -> str:
    return os.path.join(directory, name + SUFFIX)
