# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A sync of disks, pair by pair, as of one moment."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import Sequence

from ..discovery.model import Disk, Machine, Partition
from ..discovery.observe import observe as observe_machine
from ..engines.base import Engine
from ..engines.choice import choose
from ..engines.rate_limit import RateLimit
from ..errors import BlksyncError, DeclinedError, DeviceBusyError, Refusal
from ..options import ALL, SyncRequest
from ..quiesce.client import Quiescer
from ..records import signature
from ..system import device
from ..system.device import Device
from ..system.signals import Cancellation
from . import disk_plan, power_off, session
from .bookkeeping import Achieved, Bookkeeping, achieved_by
from .context import PairContext
from .copy_run import CopyRun
from .monitor import Progress
from .pair import PairCopy, predict
from .plan import Pair, Plan
from .progress_file import filed
from .proposal import Agree, Proposal
from .result import PairReport, SyncReport
from .session import Guest, Observe


def run(
    request: SyncRequest,
    progress: Progress | None = None,
    observe: Observe = observe_machine,
    books: Bookkeeping | None = None,
    agree: Agree | None = None,
) -> SyncReport:
    """Make the target's partitions equal to the source's, or in check mode say exactly what that would write.

    Raises BlksyncError; its ``report`` says how far the run came. Without ``books`` the run is in no record. ``agree``
    is asked before anything is locked or written; without it the run does not ask.
    """
    request.validate()
    guest = DiskSync(request, progress or Progress(), books, agree)
    session.run(guest, observe)
    report = guest.sync_report
    report.interrupted = guest.interrupted
    if request.power_off and not request.check:
        try:
            power_off.power_off(report.plan.target_disk, observe())
        except BlksyncError as error:
            error.report = report
            raise
        report.powered_off = True
    return report


class DiskSync(Guest):
    """One run over the pairs of two disks."""

    sync_report: SyncReport
    _engine: Engine

    def __init__(
        self, request: SyncRequest, progress: Progress, books: Bookkeeping | None, agree: Agree | None = None
    ) -> None:
        super().__init__(request.check, request.quiesce_timeout, books)
        self._books = books
        self._agree = None if request.check else agree
        self._agreed: Proposal | None = None
        self._foreign: tuple[Refusal, ...] = ()  # what a yes of the user settles
        self.request = request
        self.progress = progress
        self._limit = RateLimit(request.rate_limit)
        self._devices: list[tuple[Device, Device]] = []  # source and target of every pair
        self._nodes: list[Device] = []
        self._signatures: dict[str, str] = {}

    def make_plan(self, machine: Machine) -> Plan:
        """See Guest. Raises InvalidRequestError for an identifier that cannot be one."""
        plan = disk_plan.make(machine, self.request)
        self.written = (plan.target,) if plan.target else ()
        plan = session.examined(plan, self.request.allow_damaged_source)
        foreign = self._foreign_changes(plan)
        if self._agree and not self._agreed and not plan.refusals:
            self._foreign = foreign
        return replace(plan, refusals=(*plan.refusals, *(each for each in foreign if each not in self._foreign)))

    def confirm(self) -> bool:
        """See Guest."""
        if not self._agree:
            return False
        proposal = Proposal(self.sync_report.plan, self._foreign, tuple(self.warnings))
        if not self._agree(proposal):
            raise DeclinedError(self._foreign)
        self._agreed = proposal
        return True

    def begin(self, plan: Plan, machine: Machine) -> None:
        """See Guest. Raises EngineError, and DeviceBusyError if the user agreed to something else."""
        if self._agreed and _agreed_to(self._agreed.plan) != _agreed_to(plan):
            raise DeviceBusyError(
                "The disks or their partitions are no longer those that were shown.", "Nothing was written; run again."
            )
        self._engine = choose(self.request.engine)
        self.purpose = "copying %s to %s" % (plan.source_disk.path, plan.target_disk.path)
        self.sync_report = SyncReport(
            plan, self._engine.name, self._engine.version, self.request.check, warnings=self.warnings
        )

    def predict(self, opened: ExitStack, cancellation: Cancellation) -> None:
        """See Guest."""
        for pair in self.sync_report.plan.pairs:
            with ExitStack() as devices:
                source = devices.enter_context(device.open_source(pair.source.path, pair.source.devno))
                target = devices.enter_context(device.open_source(pair.target.path, pair.target.devno, exclusive=True))
                context = self._context(pair, source, target, cancellation)
                context.entry.finish(predict(context))

    def locks(self) -> tuple[Sequence[Disk], str]:
        """See Guest."""
        return (self.sync_report.plan.source_disk, self.sync_report.plan.target_disk), ""

    def waiting(self, sentence: str) -> None:
        """See Guest."""
        if not self.progress.waiting(sentence):
            super().waiting(sentence)

    def claim(self, held: ExitStack) -> None:
        """See Guest."""
        plan = self.sync_report.plan
        if self.books:
            self.progress = held.enter_context(filed(self.progress, plan))
        held.callback(os.close, device.lock_disk(plan.target_disk.path))
        targets = [held.enter_context(device.claim_target(p.target.path, p.target.devno)) for p in plan.pairs]
        sources = [held.enter_context(_open_source(pair)) for pair in plan.pairs]
        self._devices = list(zip(sources, targets))
        self._nodes = [
            held.enter_context(device.open_source(disk.path, disk.devno))
            for disk in (plan.source_disk, plan.target_disk)
        ]

    def essence(self, plan: Plan) -> object:
        """Labels, links and the like may change: udev learns them late, after a plug-in above all."""
        pairs = [(_place_and_use(pair.source), _place_and_use(pair.target), pair.quiesce.steps) for pair in plan.pairs]
        return [_identity(plan.source_disk), _identity(plan.target_disk), pairs]

    def work(self, quiescer: Quiescer, cancellation: Cancellation) -> None:
        """See Guest."""
        plan = self.sync_report.plan
        copies = [
            PairCopy(self._context(pair, source, target, cancellation))
            for pair, (source, target) in zip(plan.pairs, self._devices)
        ]
        for node in self._nodes:
            node.drop_cache()  # what others wrote through it reaches the medium now, and not over the copy
        CopyRun(copies, quiescer, plan.source_disk).run()
        for node in self._nodes:
            node.drop_cache()  # and whoever reads through it sees the copy
        for copy in copies:
            copy.entry.finish(copy.total)
            self.progress.pair_finished(copy.pair, copy.total.blocks_changed, copy.total.bytes_written)

    def commit(self) -> None:
        """See Guest. The target is real already; what it looks like is remembered."""
        for pair, (_source, target) in zip(self.sync_report.plan.pairs, self._devices):
            taken = signature.take(target.read_bytes, target.size)
            if taken:
                self._signatures[str(pair.number)] = taken

    def achieved(self) -> Achieved:
        """See Guest."""
        left_out = tuple(map(str, self.sync_report.left_out))
        return replace(
            achieved_by(self.sync_report),
            completes=True,
            verified=self._is_verified(),
            left_out=left_out,
            signatures=self._signatures,
        )

    def report(self) -> SyncReport:
        """See Guest."""
        return self.sync_report

    def _is_verified(self) -> bool:
        return self.request.verify == "full" and all(pair.scope == ALL for pair in self.sync_report.pairs)

    def _foreign_changes(self, plan: Plan) -> tuple[Refusal, ...]:
        if self.request.discard_changes or self._books is None or plan.target is None:
            return ()
        return self._books.foreign_changes(plan.target, plan.pairs)

    def _context(self, pair: Pair, source: Device, target: Device, cancellation: Cancellation) -> PairContext:
        entry = PairReport(pair, verify=self.request.verify)
        self.sync_report.pairs.append(entry)
        return PairContext(
            request=self.request,
            pair=pair,
            engine=self._engine,
            source=source,
            target=target,
            entry=entry,
            progress=self.progress,
            cancellation=cancellation,
            nodes=self._nodes[:1],
            limit=self._limit,
        )


def _open_source(pair: Pair) -> Device:
    """Claimed if nothing uses it, so that nothing can begin to use it. Otherwise it is quiesced."""
    used = pair.source.mounts or pair.source.holders
    return device.open_source(pair.source.path, pair.source.devno, exclusive=not used)


def _identity(disk: Disk) -> tuple[object, ...]:
    return (disk.devno, disk.diskseq, disk.ptuuid, disk.serial, disk.wwn, disk.size)


def _agreed_to(plan: Plan) -> tuple[object, ...]:
    """What a user agreed to who saw the plan. What is mounted meanwhile is for the plan to refuse."""
    places = [(each.number, each.source.start, each.target.start, each.size) for each in plan.pairs]
    return (_identity(plan.source_disk), _identity(plan.target_disk), places)


def _place_and_use(side: Partition) -> tuple[object, ...]:
    place = (side.devno, side.number, side.start, side.size, side.read_only)
    return (*place, side.mounts, side.swap, side.holders)
