# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The one story of a sync: observe, plan, refuse or claim, quiesce, copy, restore, verify, report."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Callable

from . import device, discovery, disk_lock, eject, engines
from . import plan as planning
from .cancellation import Cancellation
from .device import Device
from .engines.base import Engine, Monitor, Outcome, whole
from .errors import BlksyncError, DeviceBusyError, RefusedError
from .machine import Disk, Machine
from .plan import Pair, Plan
from .progress import Progress
from .quiesce import Quiescer
from .report import PairReport, SyncReport
from .request import SyncRequest

Observe = Callable[[], Machine]


def run(request: SyncRequest, progress: Progress | None = None, observe: Observe = discovery.observe) -> SyncReport:
    """Make the target's partitions equal to the source's, or in check mode say exactly what that would write.

    Raises BlksyncError; its ``report`` says how far the run came.
    """
    request.validate()
    plan = planning.make(observe(), request)
    if plan.refusals:
        raise RefusedError(plan.refusals)
    engine = engines.choose(request.engine)
    if request.eject:
        eject.check(plan.target_disk)
    report = SyncReport(plan, engine.name, engine.version, request.check, warnings=list(plan.warnings))
    try:
        with Cancellation() as cancellation:
            sync = _Sync(request, plan, engine, report, progress or Progress(), cancellation)
            if request.check:
                sync.predict()
            else:
                sync.carry_out(observe)
        if request.eject and not request.check:
            eject.power_off(plan.target_disk)
            report.ejected = True
    except BlksyncError as error:
        error.report = report.as_dict()
        raise
    return report


class _Sync:
    """One run over the pairs of one plan."""

    def __init__(
        self,
        request: SyncRequest,
        plan: Plan,
        engine: Engine,
        report: SyncReport,
        progress: Progress,
        cancellation: Cancellation,
    ) -> None:
        self.request = request
        self.plan = plan
        self.engine = engine
        self.report = report
        self.progress = progress
        self.cancellation = cancellation

    def predict(self) -> None:
        """Compare all pairs, with every device open for reading only."""
        for pair in self.plan.pairs:
            entry = self._begin(pair)
            started = time.monotonic()
            with ExitStack() as opened:
                source = opened.enter_context(device.open_source(pair.source.path, pair.source.devno))
                target = opened.enter_context(device.open_source(pair.target.path, pair.target.devno, exclusive=True))
                for side in (source, target):
                    side.drop_cache()
                outcome = self.engine.compare(source, target, whole(pair.size), self._watch(entry))
            self._finish(entry, outcome, started)

    def carry_out(self, observe: Observe) -> None:
        """Claim all that will be written before the first write, hold it to the end, and sync pair after pair."""
        with ExitStack() as held:
            source_disk, target_disk = self.plan.source_disk, self.plan.target_disk
            purpose = "copying %s to %s" % (source_disk.path, target_disk.path)
            for disk in sorted((source_disk, target_disk), key=lambda disk: disk.devno):
                held.enter_context(disk_lock.hold(disk, purpose))
            held.callback(os.close, device.lock_disk(target_disk.path))
            targets = [held.enter_context(device.claim_target(p.target.path, p.target.devno)) for p in self.plan.pairs]
            sources = [held.enter_context(_open_source(pair)) for pair in self.plan.pairs]
            _check_nothing_moved(self.plan, planning.make(observe(), self.request))
            quiescer = held.enter_context(Quiescer(timeout=self.request.quiesce_timeout, label=purpose))
            quiescer.prepare([pair.quiesce for pair in self.plan.pairs])
            for pair, source, target in zip(self.plan.pairs, sources, targets):
                self._sync_pair(pair, source, target, quiescer)
            self.report.warnings += quiescer.notes

    def _sync_pair(self, pair: Pair, source: Device, target: Device, quiescer: Quiescer) -> None:
        """Quiesce, copy, restore at once, and prove the copy while the source is in use again."""
        entry = self._begin(pair)
        started = time.monotonic()
        with quiescer.quiesced(pair.quiesce) as state:
            entry.quiesce = state.report
            # A mounted source keeps its own cache of the device: drop it once nothing changes any more.
            source.drop_cache()
            target.drop_cache()
            watch = self._watch(entry, quiescer)
            outcome = self.engine.copy(source, target, whole(pair.size), watch, self.request.verify)
            quiescer.check()
        entry.quiesce = state.report
        if outcome.evidence:
            target.drop_cache()
            entry.bytes_verified = outcome.evidence.verify(
                target, _VerifyWatch(entry, self.progress, self.cancellation)
            )
        self._finish(entry, outcome, started)

    def _begin(self, pair: Pair) -> PairReport:
        entry = PairReport(pair, verify=self.request.verify)
        self.report.pairs.append(entry)
        self.progress.pair_started(pair, self.engine.name)
        return entry

    def _watch(self, entry: PairReport, quiescer: Quiescer | None = None) -> Monitor:
        return _CopyWatch(entry, self.progress, self.cancellation, quiescer)

    def _finish(self, entry: PairReport, outcome: Outcome, started: float) -> None:
        entry.block_size = outcome.block
        entry.blocks_total = outcome.blocks_total
        entry.blocks_changed = outcome.blocks_changed
        entry.bytes_written = outcome.bytes_written
        entry.notes = list(outcome.notes)
        entry.seconds = time.monotonic() - started
        entry.complete = True
        self.progress.pair_finished(entry.pair, outcome.blocks_changed, outcome.bytes_written)


class _CopyWatch(Monitor):
    """Passes an engine's progress on, and ends the copy when it was cancelled or the source no longer holds still."""

    def __init__(
        self, entry: PairReport, progress: Progress, cancellation: Cancellation, quiescer: Quiescer | None
    ) -> None:
        self.entry = entry
        self.progress = progress
        self.cancellation = cancellation
        self.quiescer = quiescer

    def advanced(self, compared: int, changed: int) -> None:
        self.cancellation.check()
        if self.quiescer:
            self.quiescer.check()
        self.entry.bytes_compared = compared
        self.entry.bytes_written = changed
        self.progress.advanced(self.entry.pair, compared, changed)


class _VerifyWatch(Monitor):
    """Passes on how much of the target was read back; the source is in use again by then."""

    def __init__(self, entry: PairReport, progress: Progress, cancellation: Cancellation) -> None:
        self.entry = entry
        self.progress = progress
        self.cancellation = cancellation

    def advanced(self, compared: int, changed: int) -> None:
        self.cancellation.check()
        self.progress.verifying(self.entry.pair, compared)


def _open_source(pair: Pair) -> Device:
    """Claimed where nothing uses it, so that nothing can begin to; else quiescing makes it hold still."""
    used = pair.source.mounts or pair.source.holders
    return device.open_source(pair.source.path, pair.source.devno, exclusive=not used)


def _check_nothing_moved(planned: Plan, now: Plan) -> None:
    """What was claimed must be what was planned: disks can be swapped between looking and claiming."""
    if now.refusals:
        raise RefusedError(now.refusals)
    if [_identity(planned.source_disk), _identity(planned.target_disk), planned.pairs] != [
        _identity(now.source_disk),
        _identity(now.target_disk),
        now.pairs,
    ]:
        raise DeviceBusyError(
            "The disks or their mounts changed while the sync was about to begin.", "Nothing was written; run again."
        )


def _identity(disk: Disk) -> tuple[object, ...]:
    return (disk.devno, disk.ptuuid, disk.serial, disk.wwn, disk.size)
