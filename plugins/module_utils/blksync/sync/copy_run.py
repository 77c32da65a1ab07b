# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Copies all pairs of a run as of one moment: the last one, at which all sources are quiesced together.

Pairs that can be copied live are copied first, while they are in use; the others are quiesced for a first pass of
their own. The blocks that the tracker reports as written since then are copied at the last moment. Without a
tracker each source stays quiesced from its own pass until the last one has been read.
"""

from __future__ import annotations

import contextlib
import time
from contextlib import ExitStack
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ..discovery.model import Disk
from ..errors import LiveDoubtError, QuiesceError
from ..live.dirty_tracker import DirtyTracker
from ..quiesce.client import Quiesced, Quiescer
from ..ranges import Range
from .monitor import nothing
from .pair import PairCopy

# File systems discard free blocks for a while after they were frozen, and fstrim does not stop for a freeze. What was
# discarded is copied again, so often and, if that is quick, for so many seconds.
LATE, LATE_SECONDS = 20, 10.0
PAST = ("loop", "partition", "disk", "alias")  # kinds of holders whose writes may go past the partition
Work = Mapping[PairCopy, Optional[Tuple[Range, ...]]]  # None: all, to be found out when the source is quiesced


class CopyRun:
    """Copies the pairs of one source disk and verifies them."""

    def __init__(self, copies: Sequence[PairCopy], quiescer: Quiescer, disk: Disk) -> None:
        # What is quiesced last waits least: the root, without which little goes on.
        self._copies = sorted(copies, key=_holds_root)
        self._quiescer = quiescer
        self._disk = disk

    def run(self) -> None:
        """Raises what an engine and a quiescer raise, with everything put back."""
        with ExitStack() as opened:
            for copy in self._copies:
                opened.enter_context(copy)
                copy.begin()
            tracker = self._record(opened)
            if tracker:
                self._copy_in_use(tracker)
            else:
                with self._moment() as held:
                    self._copy_quiesced(held, self._plain_work(held), None)
            for copy in self._copies:
                copy.end()

    def _plain_work(self, held: Quiesced) -> Work:
        """Everything of all pairs. Each source is quiesced at its turn.

        Unless one is in use through the node of its disk: then the syncing that quiesces one source could be taken for
        a write to another.
        """
        if not any(holder.kind in PAST for copy in self._copies for holder in copy.pair.source.holders):
            return dict.fromkeys(self._copies)
        self._quiesce_all(held)
        return {copy: copy.ranges() for copy in self._copies}

    def _quiesce_all(self, held: Quiesced) -> None:
        for copy in self._copies:
            copy.quiesce(held)
        for copy in self._copies:
            copy.watch()

    def _record(self, opened: ExitStack) -> DirtyTracker | None:
        """Record the writes to all sources, if any is copied live and the kernel reports them."""
        live = [copy for copy in self._copies if copy.live]
        if live:
            try:
                blocks = {copy.pair.source: copy.block for copy in self._copies}
                return opened.enter_context(DirtyTracker(self._disk, blocks))
            except LiveDoubtError as doubt:
                for copy in live:
                    copy.fall_back(doubt)
        return None

    @contextlib.contextmanager
    def _moment(self) -> Iterator[Quiesced]:
        """What is added is quiesced inside, and reported even if that fails."""
        with ExitStack() as reported, self._quiescer.quiesced() as held:
            for copy in self._copies:
                reported.callback(copy.report)
            yield held

    def _copy_in_use(self, tracker: DirtyTracker) -> None:
        for copy in self._copies:
            self._first_pass(copy, tracker)
        while True:
            with self._moment() as held:
                self._quiesce_all(held)
                work = {copy: copy.rest(tracker) for copy in self._copies}
                busy = [copy for copy in self._copies if not copy.is_last(work)]
                if not busy:
                    self._copy_quiesced(held, work, tracker)
                    return
                for copy in self._copies:
                    if copy.tracked and copy not in busy:
                        tracker.put_back(copy.pair.source, work[copy])
            for copy in busy:
                self._next_pass(copy, work[copy], tracker)

    def _first_pass(self, copy: PairCopy, tracker: DirtyTracker) -> None:
        """While the pair is in use or, where it cannot be copied live, quiesced for this pass alone."""
        try:
            with self._moment() as held:
                copy.quiesce(held)
                copy.watch()
                if copy.live:
                    copy.expect_frozen()
                ranges = copy.track(tracker)
                if not copy.live:
                    copy.copy(ranges, self._quiescer.check, held.release)
        except LiveDoubtError as doubt:
            copy.fall_back(doubt)
        if copy.live:
            self._next_pass(copy, ranges, tracker)
        copy.verify()

    def _next_pass(self, copy: PairCopy, ranges: tuple[Range, ...], tracker: DirtyTracker) -> None:
        """A pass while the source is in use."""
        try:
            copy.copy(ranges, tracker.check, moving=True)
            copy.verify()
        except LiveDoubtError as doubt:
            copy.fall_back(doubt)

    def _copy_quiesced(self, held: Quiesced, work: Work, tracker: DirtyTracker | None) -> None:
        """Copy what is left, and put all sources back as soon as the last one has been read.

        Raises QuiesceError if one was written to.
        """
        late: dict[PairCopy, tuple[Range, ...]] = {}

        def settle() -> None:
            held.check()
            for copy in self._copies:
                ranges = copy.changes(tracker)
                if ranges:
                    late[copy] = ranges
            if not late:
                held.release()

        begun, turns = time.monotonic(), 0
        while turns < LATE or time.monotonic() - begun < LATE_SECONDS:
            turns += 1
            late.clear()
            left = [copy for copy in self._copies if work.get(copy, ()) != ()]
            for copy in left:
                ranges = work[copy]
                if ranges is None:
                    copy.quiesce(held)
                    copy.watch()
                    ranges = copy.ranges()
                copy.copy(ranges, self._quiescer.check, settle if copy is left[-1] else nothing)
            if not left:
                settle()
            if held.released:
                return
            work = dict(late)
        raise _discarded_without_end(list(work))


def _discarded_without_end(copies: Sequence[PairCopy]) -> QuiesceError:
    paths = ", ".join(copy.pair.source.path for copy in copies)
    return QuiesceError(
        "Free blocks of %s were discarded again and again although the source was frozen." % paths,
        "The copy is inconsistent. Run again when no fstrim is at work; mount the file system with nodiscard if it "
        "discards by itself (btrfs does), or copy it live.",
    )


def _holds_root(copy: PairCopy) -> bool:
    return any("/" in step.mountpoints for step in copy.pair.quiesce.steps)
