# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A mark that a run of a job has begun: it shows a run that was killed. A lock keeps a second run from starting.

The mark is a small file beside the history which names the process. It is there while the job runs: if its process is
gone, the run did not come to its end. Everybody may read the mark, so that status needs no root; the lock is elsewhere
(``system/locks.py``).
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ..system import atomic_file, locks
from ..system.processes import identify, is_alive

SUFFIX = ".running"


@dataclass(frozen=True)
class Mark:
    """What a mark says: when the run began (seconds since the epoch), by which process, whether it still runs."""

    start: float
    pid: int
    alive: bool


class RunningMark:
    """The mark and the lock of one job, taken by ``begin`` and given back by ``end``.

    Without ``end`` the mark stays behind, which is right for a run that could not put everything back.
    """

    def __init__(self, name: str, directory: str) -> None:
        self._name = name
        self._directory = directory
        self._held = ExitStack()

    def begin(self, now: float) -> Mark | None:
        """Lock the job and write the mark; return what a run left there that did not come to its end.

        Raises DeviceBusyError if the job runs already, OSError if the mark cannot be written.
        """
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        self._held.enter_context(locks.hold_job(self._name, self._directory, "running the job %s" % self._name))
        try:
            left = read(self._name, self._directory)  # whoever left it does not run any more, or had the lock
            content = json.dumps({"start": now, "process": identify(os.getpid())})
            atomic_file.replace(_path(self._name, self._directory), content)
        except BaseException:
            self.release()
            raise
        return left and replace(left, alive=False)

    def end(self) -> None:
        """The run came to its end, good or bad, and everything is put back."""
        atomic_file.remove(_path(self._name, self._directory))
        self.release()

    def release(self) -> None:
        """Let go of the lock and leave the mark as it is."""
        self._held.close()


def read(name: str, directory: str) -> Mark | None:
    """The mark of a job, None if no run is under way and none was killed."""
    try:
        return _parse(atomic_file.read(_path(name, directory)))
    except FileNotFoundError:
        return None


def _parse(content: bytes) -> Mark | None:
    try:
        data = json.loads(content)
        pid = int(data["process"]["pid"])
        return Mark(float(data["start"]), pid, is_alive({"pid": pid, "start": str(data["process"]["start"])}))
    except (ValueError, TypeError, KeyError):
        return None


def _path(name: str, directory: str) -> str:
    return os.path.join(directory, name + SUFFIX)
