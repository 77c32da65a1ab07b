# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The passes that copy one pair: one while the source is frozen, or, live, most of it while the source is in use."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Iterator, Sequence

from .cancellation import Cancellation
from .device import Device
from .engines.base import Engine, Method, Outcome, Range, block_size
from .engines.native import NativeEngine
from .errors import BlksyncError, QuiesceError
from .live import conditions
from .live.recorder import WriteRecorder
from .live.rounds import LiveDoubtError, Rounds
from .machine import Disk
from .pair_scope import PairScope
from .pair_watch import AgainWatch, CopyWatch, VerifyWatch
from .plan import Pair
from .progress import Progress
from .quiesce import Quiesced, Quiescer
from .quiesce.step import FROZEN, add_up
from .report import LiveReport, PairReport
from .request import LIVE, CopyRequest

LATE = 20  # times that the kernel may discard blocks on its own account after it has frozen a file system


class PairCopy:
    """Copies one pair whose target is claimed, proves every pass by reading it back, and sums the passes up.

    ``method`` is how the whole pair is compared; ``watch`` are the arguments that all watches share.
    """

    def __init__(
        self,
        request: CopyRequest,
        engine: Engine,
        ends: tuple[Device, Device],
        quiescer: Quiescer,
        method: Method,
        watch: tuple[PairReport, Progress, Cancellation],
    ) -> None:
        self.request = request
        self.engine = engine
        self.source, self.target = ends
        self.quiescer = quiescer
        self.method = method
        self.watch = watch
        self.entry = watch[0]
        self.pair: Pair = self.entry.pair
        self.block = block_size(*ends, least=request.block_size)
        self.total = Outcome(self.block, -(-self.pair.size // self.block))

    def run(self, disk: Disk) -> Outcome:
        """Copy from ``disk``, live where that is wanted and possible. Raises what an engine and a quiescer raise."""
        with ExitStack() as opened:
            scope = opened.enter_context(PairScope(self.request, self.pair, self.block))
            if not (self.request.live and conditions.applies(self.pair.quiesce)):
                self._copy_still(scope)
                return self.total
            self.entry.live = LiveReport()
            try:
                self._copy_live(disk, scope, self.entry.live)
                self.entry.live.used = True
            except LiveDoubtError as doubt:
                self._fall_back(doubt, self.entry.live)
                self._copy_still(scope)
        return self.total

    def _copy_still(self, scope: PairScope) -> None:
        """Quiesce, copy, restore at once, and prove the copy while the source is in use again."""
        with self._held_still() as state:
            watch = CopyWatch(*self.watch, check=self.quiescer.check, done=state.release)
            outcome = self._pass(self.engine, scope.ranges(self.entry), watch)
            self.quiescer.check()
        self._prove(outcome)

    def _copy_live(self, disk: Disk, scope: PairScope, report: LiveReport) -> None:
        """Copy while the source is in use, then again what was written meanwhile; the last of it while frozen.

        Raises LiveDoubtError with everything put back.
        """
        obstacle = conditions.obstacle(self.pair.source, self.pair.quiesce)
        if obstacle:
            raise LiveDoubtError(obstacle)
        with WriteRecorder(disk, self.pair.source, self.block) as recorder:
            with self._held_still() as state:
                _expect_frozen(state)
                recorder.restart()
                ranges = scope.ranges(self.entry)
            self.method = replace(self.method, moving=True)
            self._prove(self._pass(self.engine, ranges, CopyWatch(*self.watch, check=recorder.check)))
            rounds = Rounds(self.pair.size)
            report.dirty_bytes = rounds.dirty
            while not self._round(recorder, rounds):
                pass

    def _round(self, recorder: WriteRecorder, rounds: Rounds) -> bool:
        """Copy what was written since the last round; True where nothing is left.

        What is written is told for certain only while nothing is on its way to the disk: while it is frozen.
        """
        with self._held_still() as state:
            dirty = recorder.take()
            last = rounds.is_last(sum(span.length for span in dirty))
            if last:
                outcome = self._end(recorder, state, dirty)
        if not last:
            outcome = self._pass(NativeEngine(), dirty, AgainWatch(*self.watch, check=recorder.check))
        self._prove(outcome)
        return last

    def _end(self, recorder: WriteRecorder, state: Quiesced, dirty: tuple[Range, ...]) -> Outcome:
        """Copy the last ranges while the source is frozen, and thaw it as soon as they have been read.

        ext4 discards free blocks, as mounted with -o discard or asked to by fstrim, even after it was frozen: those
        count as written too. What they overwrite is proved before, as it cannot be proved afterwards.
        """
        late = dirty

        def settle() -> None:
            nonlocal late
            late = recorder.take()
            if not late:
                state.release()

        for _turn in range(LATE):
            watch = AgainWatch(*self.watch, check=self.quiescer.check, done=settle)
            outcome = self._pass(NativeEngine(), late, watch)
            if state.released:
                return outcome
            self._prove(outcome)
        raise LiveDoubtError("the source is written to though it is frozen")

    def _pass(self, engine: Engine, ranges: Sequence[Range], watch: CopyWatch) -> Outcome:
        """One pass of an engine, added up."""
        self.entry.writing = True
        outcome = engine.copy(self.source, self.target, ranges, watch, self.request.verify, self.method)
        changed = self.total.blocks_changed + outcome.blocks_changed  # some perhaps twice, in a live copy
        self.total.blocks_changed = min(changed, self.total.blocks_total)
        self.total.bytes_written += outcome.bytes_written
        self.total.bytes_read += outcome.bytes_read
        self.total.notes += outcome.notes
        return outcome

    def _prove(self, outcome: Outcome) -> None:
        """Read back what was written, past every cache."""
        if outcome.evidence:
            self.target.drop_cache()
            self.entry.bytes_verified += outcome.evidence.verify(self.target, VerifyWatch(*self.watch))

    @contextmanager
    def _held_still(self) -> Iterator[Quiesced]:
        """The source holds still inside; the report has the sum of all times that it did.

        A mounted source keeps its own cache of the device: what was read before is dropped once nothing changes.
        """
        earlier = self.entry.quiesce
        with ExitStack() as told:
            try:
                state = told.enter_context(self.quiescer.quiesced(self.pair.quiesce))
            except BlksyncError as error:
                self.entry.quiesce = add_up(earlier, error.steps)
                raise
            told.callback(lambda: self._report(earlier, state))
            self._report(earlier, state)
            self.source.drop_cache()
            yield state

    def _report(self, earlier: list[dict[str, Any]], state: Quiesced) -> None:
        self.entry.quiesce = add_up(earlier, state.report)

    def _fall_back(self, doubt: LiveDoubtError, report: LiveReport) -> None:
        """The plain way is taken. Raises QuiesceError where the user does not want that."""
        report.fallback = doubt.message
        if self.request.quiesce == LIVE and not self.request.quiesce_fallback:
            raise QuiesceError(
                "%s cannot be copied while it is in use: %s." % (self.pair.source.path, doubt.message),
                doubt.hint or "Set quiesce_fallback to true to have it frozen for the whole copy instead.",
            ) from doubt
        self.method = replace(self.method, moving=False)


def _expect_frozen(state: Quiesced) -> None:
    """Unmounting, as is done to a file system that turns out not to be able to freeze, is not done several times."""
    for entry in state.report:
        if entry["action"] != FROZEN:
            raise LiveDoubtError("%s (%s) could not be frozen" % (", ".join(entry["mountpoints"]), entry["fstype"]))
