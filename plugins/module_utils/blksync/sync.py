# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The one story of a sync: observe, plan, refuse or claim, quiesce, copy, restore, verify, report."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Callable, Sequence

from . import device, discovery, disk_lock, eject, engines, superblocks
from . import plan as planning
from .cancellation import Cancellation
from .device import Device
from .errors import BlksyncError, DeviceBusyError, RefusedError
from .machine import Disk, Machine, Partition
from .pair_sync import PairSync
from .plan import Pair, Plan
from .progress import Progress
from .quiesce import Quiescer
from .quiesce.execution import Failure, restore_error
from .quiesce.state import RestoredRun, restore_state
from .report import SyncReport
from .request import SyncRequest

Observe = Callable[[], Machine]


def run(request: SyncRequest, progress: Progress | None = None, observe: Observe = discovery.observe) -> SyncReport:
    """Make the target's partitions equal to the source's, or in check mode say exactly what that would write.

    Raises BlksyncError; its ``report`` says how far the run came.
    """
    request.validate()
    leftovers = [] if request.check else put_back_leftovers()
    machine = observe()
    plan = planning.make(machine, request)
    warnings = concerning(leftovers, machine, (plan.source_disk.devno, plan.target_disk.devno))
    findings = superblocks.examine(plan.pairs, request.allow_damaged_source)
    if plan.refusals or findings.refusals:
        raise RefusedError((*plan.refusals, *findings.refusals))
    warnings += [*plan.warnings, *findings.warnings]
    engine = engines.choose(request.engine)
    report = SyncReport(plan, engine.name, engine.version, request.check, warnings=warnings)
    try:
        with Cancellation() as cancellation:
            pairs = PairSync(request, engine, report, progress or Progress(), cancellation)
            sync = _Sync(request, plan, pairs, report)
            if request.check:
                sync.predict()
            else:
                sync.carry_out(observe)
        report.interrupted = cancellation.reason
        if request.eject and not request.check:
            eject.power_off(plan.target_disk, observe())
            report.ejected = True
    except BlksyncError as error:
        error.report = report.as_dict()
        raise
    return report


def put_back_leftovers() -> list[RestoredRun]:
    """Restore what runs left whose processes were all killed, so that this one finds the machine as it belongs."""
    return [run for run in restore_state() if not run.running]


def concerning(leftovers: Sequence[RestoredRun], machine: Machine, disks: Sequence[str]) -> list[str]:
    """What a run that works on these disks has to say of the leftovers: a sentence or two for each.

    Raises RestoreError where something on these disks could not be put back. ``disks`` are devnos. What lies on other
    disks, or on one that is gone, is no reason to fail.
    """
    said: list[str] = []
    ours: list[Failure] = []
    for run in leftovers:
        if run.actions:
            said.append("Put back first what a killed run (%s) had left frozen or unmounted." % run.label)
        for failure in run.failures:
            if not failure.gone and not set(disks).isdisjoint(machine.disks_under(failure.devno)):
                ours.append(failure)
            else:
                said.append("Left by a killed run (%s): %s %s" % (run.label, failure.message, failure.hint))
    if ours:
        raise restore_error(ours)
    return said


class _Sync:
    """One run over the pairs of one plan."""

    def __init__(self, request: SyncRequest, plan: Plan, pairs: PairSync, report: SyncReport) -> None:
        self.request = request
        self.plan = plan
        self.pairs = pairs
        self.report = report

    def predict(self) -> None:
        """Compare all pairs, with every device open for reading only."""
        for pair in self.plan.pairs:
            with ExitStack() as opened:
                source = opened.enter_context(device.open_source(pair.source.path, pair.source.devno))
                target = opened.enter_context(device.open_source(pair.target.path, pair.target.devno, exclusive=True))
                self.pairs.predict(pair, source, target)

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
                self.pairs.copy(pair, source, target, quiescer)
            self.report.warnings += quiescer.notes


def _open_source(pair: Pair) -> Device:
    """Claimed where nothing uses it, so that nothing can begin to; else quiescing makes it hold still."""
    used = pair.source.mounts or pair.source.holders
    return device.open_source(pair.source.path, pair.source.devno, exclusive=not used)


def _check_nothing_moved(planned: Plan, now: Plan) -> None:
    """What was claimed must be what was planned: disks can be swapped between looking and claiming."""
    if now.refusals:
        raise RefusedError(now.refusals)
    if _essence(planned) != _essence(now):
        raise DeviceBusyError(
            "The disks or their mounts changed while the sync was about to begin.", "Nothing was written; run again."
        )


def _essence(plan: Plan) -> list[object]:
    """What must not change. Labels, links and the like may: udev learns them late, after a plug-in above all."""
    pairs = [(_place_and_use(pair.source), _place_and_use(pair.target), pair.quiesce.steps) for pair in plan.pairs]
    return [_identity(plan.source_disk), _identity(plan.target_disk), pairs]


def _identity(disk: Disk) -> tuple[object, ...]:
    return (disk.devno, disk.ptuuid, disk.serial, disk.wwn, disk.size)


def _place_and_use(side: Partition) -> tuple[object, ...]:
    place = (side.devno, side.number, side.start, side.size, side.read_only)
    return (*place, side.mounts, side.swap, side.holders)
