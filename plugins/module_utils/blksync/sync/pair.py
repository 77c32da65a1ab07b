# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Compares, copies, verifies and reports one pair of partitions or images."""

from __future__ import annotations

import contextlib
import time
from typing import Callable, Iterator, Sequence

from ..engines.base import Outcome
from ..engines.native.engine import NativeEngine
from ..errors import BlksyncError, LiveDoubtError, QuiesceError
from ..live import eligibility
from ..live.convergence import Convergence
from ..live.dirty_tracker import DirtyTracker
from ..options import ALL, USED
from ..options.engines import RANGES
from ..quiesce import stillness
from ..quiesce.client import Quiesced
from ..quiesce.step import FROZEN, StepReport, add_up
from ..ranges import Range, whole
from ..superblocks import identity
from ..used_blocks.reader import UsedMap
from . import read_errors
from .context import PairContext
from .monitor import AGAIN, COPY, VERIFY, nothing
from .result import LiveReport


def predict(context: PairContext) -> Outcome:
    """Compare, with both devices open for reading only. Raises what an engine raises, and QuiesceError if a copy could
    not be made because the kernel does not count the writes to the source."""
    entry = context.entry
    context.progress.pair_started(context.pair, context.engine.name)
    started = time.monotonic()
    for device in (*context.nodes, context.source, context.target):
        device.drop_cache()
    still = stillness.of(context.source, flush=False)
    with PairCopy(context) as copy:
        still.check()
        still.begin()
        with read_errors.explained(entry, context.source.path):
            outcome = context.engine.compare(
                context.source, context.target, copy.ranges(), context.monitor(COPY), context.options()
            )
        change = still.end()
    if change.written or change.discarded:
        entry.notes.append("The source was written to while it was read: the numbers are of no one moment.")
    entry.seconds = time.monotonic() - started
    return outcome


class PairCopy:
    """The passes that copy one pair whose target is claimed, added up. A context manager.

    What a pass has written is verified by reading it back past every cache, before another pass may write over it.
    ``live`` says whether most of it is copied while the source is in use, ``tracked`` whether all writes to the source
    since the first pass are recorded.
    """

    def __init__(self, context: PairContext) -> None:
        self.context = context
        self.pair = context.pair
        self.entry = context.entry
        self.block = context.block
        self.total = Outcome(self.block, -(-self.pair.size // self.block))
        self.live = False
        self.tracked = False
        self.iterations = Convergence(self.pair.size)
        self._map: UsedMap | None = None
        self._stillness = stillness.of(context.source)
        self._counting = False  # whether the stillness is watched
        self._read = 0  # bytes of the source since then
        self._passes = 0
        self._unverified: Outcome | None = None
        self._held: Quiesced | None = None
        self._earlier: list[StepReport] = []

    def __enter__(self) -> PairCopy:
        if self.context.request.scope == USED:
            self._map = UsedMap(self.pair.source)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._map:
            self._map.close()

    def begin(self) -> None:
        """Find out how the pair is copied. Raises QuiesceError if that is live or not at all, and cannot be, or if
        nobody could know whether the source was written to."""
        self.context.cancellation.check()
        self._stillness.check()
        self.context.progress.pair_started(self.pair, self.context.engine.name)
        self.context.prepare()
        if not (self.context.request.live and eligibility.applies(self.pair.quiesce)):
            return
        self.live, self.entry.live = True, LiveReport(dirty_bytes=self.iterations.dirty)
        obstacle = eligibility.obstacle(self.pair.source, self.pair.quiesce)
        if obstacle:
            self.fall_back(LiveDoubtError(obstacle.code, obstacle.message))

    def fall_back(self, doubt: LiveDoubtError) -> None:
        """What was copied while the source was in use cannot be relied on: all of it is compared at the last moment.

        Raises QuiesceError if the user does not want that.
        """
        self.tracked = False
        if not (self.live and self.entry.live):
            return
        self.live = False
        self.entry.live.fallback = doubt.reason
        if self.context.request.live_only:
            raise QuiesceError(
                "%s cannot be copied while it is in use: %s." % (self.pair.source.path, doubt.message),
                doubt.hint or "Set the option quiesce_fallback to true to have it frozen for the whole copy instead.",
            ) from doubt

    def quiesce(self, held: Quiesced) -> None:
        """Quiesce the source, besides those that are in ``held`` already. Raises QuiesceError, RestoreError."""
        with self._timed():
            self._held, self._earlier = held, self.entry.quiesce
            try:
                held.add(self.pair.quiesce)
            except BlksyncError:
                self._held = None
                self.entry.quiesce = add_up(self._earlier, held.attempts_of(self.pair.quiesce))
                raise
            self.report()

    def watch(self) -> None:
        """Begin to count what is written to the source, which is quiesced now.

        A mounted source and the node of its whole disk have caches of their own: what they hold is written and dropped.
        """
        if self.pair.quiesce.steps or self.tracked or not self._counting:
            with self._timed():
                for device in (*self.context.nodes, self.context.source):
                    device.drop_cache()
                self._count()

    def report(self) -> None:
        """Keep the entry's account of the quiescing up to date: the sum of all times."""
        if self._held:
            self.entry.quiesce = add_up(self._earlier, self._held.report_of(self.pair.quiesce))

    @property
    def frozen(self) -> bool:
        """Whether the source's file systems were frozen, all of them, rather than unmounted."""
        done = self._held.report_of(self.pair.quiesce) if self._held else []
        return bool(done) and all(report.action == FROZEN for report in done)

    def expect_frozen(self) -> None:
        """Unmounting, as is done to a file system that turns out not to be able to freeze, is not done several times.

        Raises LiveDoubtError.
        """
        for report in self._held.report_of(self.pair.quiesce) if self._held else ():
            if report.action != FROZEN:
                places = ", ".join(report.mountpoints)
                raise LiveDoubtError("freeze_failed", "%s (%s) could not be frozen" % (places, report.fstype))

    def track(self, tracker: DirtyTracker) -> tuple[Range, ...]:
        """Record all writes from this moment on, at which the source is quiesced. Returns what is to be copied now."""
        tracker.restart(self.pair.source)
        self.tracked = True
        return self.ranges()

    def ranges(self) -> tuple[Range, ...]:
        """All that is to be copied, as of this moment: the source is quiesced."""
        if self._map is None:
            return whole(self.pair.size)
        used = self._map.read(self.block)
        self.entry.scope = ALL if used.reason else USED
        self.entry.scope_reason, self.entry.bytes_skipped = used.reason, used.skipped
        return used.ranges

    def rest(self, tracker: DirtyTracker | None) -> tuple[Range, ...]:
        """What is left to copy at the last moment: what was written since the last pass, or everything."""
        if tracker and self.tracked:
            try:
                return tracker.take(self.pair.source)
            except LiveDoubtError as doubt:
                if self.live and not self.iterations.dirty:
                    return self._track_anew(tracker)
                self.fall_back(doubt)
        return self.ranges()

    def _track_anew(self, tracker: DirtyTracker) -> tuple[Range, ...]:
        """The first pass counts for nothing: make it once more, with the writes counted from this moment on.

        A discard that was traced before the first moment and began after it, as happens on a busy machine, is counted
        and not reported.
        """
        try:
            return self.track(tracker)
        except LiveDoubtError as doubt:
            self.fall_back(doubt)
        return self.ranges()

    def changes(self, tracker: DirtyTracker | None) -> tuple[Range, ...]:
        """What has to be copied again although the source is quiesced: file systems discard free blocks for a moment
        after they were frozen, as mounted with -o discard or asked to by fstrim.

        Raises QuiesceError if anything was written.
        """
        change = self._stillness.end(self._read)
        if change.written:
            raise stillness.written_although_quiesced(change.written)
        if change.discarded and (not self.frozen or self.context.checksums):
            raise stillness.written_although_quiesced(
                "%d bytes of %s were discarded" % (change.discarded, self.pair.source.path)
            )
        if tracker and self.tracked:
            return self.rest(tracker)
        if change.discarded:
            self._count()
            return self.ranges()
        return ()

    def is_last(self, work: dict[PairCopy, tuple[Range, ...]]) -> bool:
        """Whether what is left of the pair is to be copied now, while it is quiesced, rather than while it is in use.

        Where the writes do not let up, all of it is compared now: ``work`` is changed so.
        """
        if not self.live:
            return True
        try:
            return self.iterations.is_last(sum(span.length for span in work[self]))
        except LiveDoubtError as doubt:
            self.fall_back(doubt)
            work[self] = self.ranges()
            return True

    def copy(
        self,
        ranges: Sequence[Range],
        check: Callable[[], None],
        done: Callable[[], None] = nothing,
        moving: bool = False,
    ) -> None:
        """One pass over ``ranges``; ``moving``: while the source is in use. Raises what an engine raises."""
        self.verify()
        context, first = self.context, not self._passes
        self._passes += 1
        self.entry.writing = True

        def source_read() -> None:
            self._read += sum(span.length for span in ranges)
            done()

        monitor = context.monitor(COPY if first else AGAIN, check=check, done=source_read)
        options = context.options(first, moving, self._held)
        engine = context.engine if first or context.engine.supports(RANGES) else NativeEngine()
        with self._timed(), read_errors.explained(self.entry, context.source.path):
            self._unverified = engine.copy(context.source, context.target, ranges, monitor, options)
        self._add(self._unverified)

    def verify(self) -> None:
        """Read back what the last pass wrote, past every cache. Raises VerificationError, DeviceReadError."""
        outcome, self._unverified = self._unverified, None
        if outcome and outcome.write_log:
            with self._timed(), read_errors.explained(self.entry, self.context.source.path):
                context = self.context
                context.target.drop_cache()
                self.entry.bytes_verified += outcome.write_log.verify(
                    context.target, context.monitor(VERIFY), context.limit_while(self._held)
                )

    def end(self) -> None:
        """The source is in use again, and all of the pair was copied. Raises VerificationError, DeviceReadError."""
        self.verify()
        # A pair without a skipped byte is known to be equal. An image file whose digest is kept must not be opened.
        if self.entry.bytes_skipped and self.context.target.is_block:
            self.entry.notes += identity.verify_same(self.context.source, self.context.target)
        if self.entry.live:
            self.entry.live.used = self.live

    def _count(self) -> None:
        self._stillness.begin()
        self._counting, self._read = True, 0

    def _add(self, outcome: Outcome) -> None:
        changed = self.total.blocks_changed + outcome.blocks_changed  # some perhaps twice, in a live copy
        self.total.blocks_changed = min(changed, self.total.blocks_total)
        self.total.bytes_written += outcome.bytes_written
        self.total.bytes_read += outcome.bytes_read
        self.total.notes += outcome.notes

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.entry.seconds += time.monotonic() - started
