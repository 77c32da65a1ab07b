# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source held when it was thawed for the last time, to compare its copy with.

The moment is looked for from outside: the last thaw of a copy is the one after the round that says it is the last, or
one while no writes are recorded. The source is hashed there, still frozen, by direct reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from blksync.discovery.model import Partition
from blksync.errors import LiveDoubtError
from blksync.live.dirty_tracker import DirtyTracker
from blksync.quiesce.client import Quiesced
from blksync.ranges import Range
from blksync.sync.copy_run import CopyRun
from blksync.system.device import device_number

CHUNK = 64 * 1024
WINDOW = 1024 * 1024
DIRECT = os.O_DIRECT


class FrozenTruth:
    """Watches the syncs of this process from the moment that it is made until ``patch`` is undone.

    ``chunks`` are hashes of the source at the last thaw, ``late`` the chunks that the kernel discarded although frozen.
    """

    def __init__(self, patch: pytest.MonkeyPatch, source: str) -> None:
        self.chunks: list[bytes] = []
        self.late: set[int] = set()
        self.taken = 0
        self._source = source
        self._partition = Partition(0, "", source, device_number(os.stat(source)), 0, 0)
        self._tracker: DirtyTracker | None = None
        self._last = False
        self._watch_tracker(patch)
        self._watch_last_moment(patch)
        self._watch_thaws(patch)

    def different(self, target: str) -> list[int]:
        """The numbers of the target's chunks that are not the source's; those discarded late do not count."""
        assert self.chunks, "the source was never thawed for the last time"
        pairs = zip(self.chunks, hashes(target), strict=True)
        return [number for number, (one, other) in enumerate(pairs) if one != other and number not in self.late]

    def _take(self) -> None:
        written = sectors_written(self._source)
        self.chunks = hashes(self._source)
        self.taken += 1
        # All that may still reach the disk now are discards of free blocks: of any moment until it was hashed.
        assert sectors_written(self._source) == written, "something was written though it was frozen"
        ranges: tuple[Range, ...] = ()
        if self._tracker:
            with contextlib.suppress(LiveDoubtError):  # then the copy was not live
                ranges = self._tracker.take(self._partition)
        self.late = {at // CHUNK for r in ranges for at in range(r.offset // CHUNK * CHUNK, r.offset + r.length, CHUNK)}

    def _watch_tracker(self, patch: pytest.MonkeyPatch) -> None:
        enter, leave = DirtyTracker.__enter__, DirtyTracker.__exit__

        def entered(tracker: DirtyTracker) -> DirtyTracker:
            self._tracker = tracker
            return enter(tracker)

        def left(
            tracker: DirtyTracker,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None:
            self._tracker = None
            leave(tracker, kind, error, trace)

        patch.setattr(DirtyTracker, "__enter__", entered)
        patch.setattr(DirtyTracker, "__exit__", left)

    def _watch_last_moment(self, patch: pytest.MonkeyPatch) -> None:
        copy_quiesced = CopyRun._copy_quiesced

        def noticed(run: CopyRun, *arguments: Any) -> None:
            self._last = True
            copy_quiesced(run, *arguments)

        patch.setattr(CopyRun, "_copy_quiesced", noticed)

    def _watch_thaws(self, patch: pytest.MonkeyPatch) -> None:
        release = Quiesced.release

        def released(state: Quiesced) -> None:
            if not state.released and self._last:
                self._last = False
                self._take()
            release(state)

        patch.setattr(Quiesced, "release", released)


def hashes(path: str) -> list[bytes]:
    """One for each chunk, as it is on the medium, whatever the code under test can read."""
    found = []
    buffer = memoryview(mmap.mmap(-1, WINDOW))
    fd = os.open(path, os.O_RDONLY | DIRECT)
    try:
        for position in range(0, os.lseek(fd, 0, os.SEEK_END), WINDOW):
            length = os.preadv(fd, [buffer], position)
            found += [hashlib.sha256(buffer[at : min(at + CHUNK, length)]).digest() for at in range(0, length, CHUNK)]
    finally:
        os.close(fd)
    return found


def sectors_written(path: str) -> int:
    """Without discards (Documentation/block/stat.rst)."""
    return int(stat_of(path)[6])


def stat_of(path: str) -> list[str]:
    """The kernel's counters of a block device (Documentation/block/stat.rst)."""
    return Path("/sys/class/block", path.rpartition("/")[2], "stat").read_text().split()
