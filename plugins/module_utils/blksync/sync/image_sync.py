# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A sync of images: one pair, with a device or a file on either side."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Iterable, Sequence

from ..digests.record import DigestKey, Validity
from ..digests.store import DigestStore, PairDigest
from ..discovery.model import Disk, Machine
from ..discovery.observe import observe as observe_machine
from ..engines.base import Engine, Outcome, block_size
from ..engines.choice import choose
from ..engines.rate_limit import RateLimit
from ..options import ImageRequest
from ..quiesce.client import Quiescer
from ..system import device
from ..system.device import Device
from ..system.signals import Cancellation
from . import endpoint, image_plan, image_target, session
from .bookkeeping import Achieved, Bookkeeping, achieved_by
from .context import PairContext
from .copy_run import CopyRun
from .endpoint import BLOCK, MISSING, Endpoint
from .image_lease import ImageLease
from .image_target import ImageFile
from .monitor import Progress
from .pair import PairCopy, predict
from .plan import Pair, Plan
from .result import ImageReport, PairReport
from .session import Guest, Observe


def run(
    request: ImageRequest,
    progress: Progress | None = None,
    observe: Observe = observe_machine,
    books: Bookkeeping | None = None,
) -> ImageReport:
    """Make the target equal to the source, or in check mode say exactly what that would write.

    Raises BlksyncError; its ``report`` says how far the run came.
    """
    request.validate()
    guest = ImageSync(request, progress or Progress(), books)
    session.run(guest, observe)
    guest.sync_report.interrupted = guest.interrupted
    return guest.sync_report


class ImageSync(Guest):
    """One run over one image or device."""

    sync_report: ImageReport
    _ends: tuple[Endpoint, Endpoint]
    _machine: Machine
    _engine: Engine
    _source: Device
    _target: Device
    _entry: PairReport
    _total: Outcome

    def __init__(self, request: ImageRequest, progress: Progress, books: Bookkeeping | None) -> None:
        super().__init__(request.check, request.quiesce_timeout, books)
        self.request = request
        self.progress = progress
        self.purpose = "copying %s to %s" % (request.source, request.target)
        self._nodes: list[Device] = []
        self._image: ImageFile | None = None
        self._digests: DigestStore | None = None
        self._digest = PairDigest()
        self._lease: ImageLease | None = None

    def make_plan(self, machine: Machine) -> Plan:
        """See Guest."""
        self._ends = (endpoint.look(str(self.request.source)), endpoint.look(str(self.request.target)))
        self._machine = machine
        self.written = locked_disks(machine, self._ends[1:])
        plan = image_plan.make(machine, *self._ends, self.request)
        return session.examined(plan, self.request.allow_damaged_source)

    def begin(self, plan: Plan, machine: Machine) -> None:
        """See Guest. Raises EngineError, and what a store of digests raises."""
        request = self.request
        source, target = self._ends
        self._engine = choose(request.engine)
        self.sync_report = ImageReport(
            plan, self._engine.name, self._engine.version, request.check, warnings=self.warnings
        )
        if target.kind != BLOCK:
            self._image = ImageFile(target, source.size, request.keep, request.punch_zeros)
        if request.digest_dir:
            validity = Validity(request.digest_max_age, request.digest_full_every)
            self._digests = DigestStore(request.digest_dir, self._engine, request.algorithm, validity)

    def predict(self, opened: ExitStack, cancellation: Cancellation) -> None:
        """See Guest."""
        pair, target = self._pair, self._ends[1]
        self._source = opened.enter_context(device.open_source(pair.source.path, pair.source.devno))
        if target.kind == MISSING:
            self._target = opened.enter_context(image_target.zeros(pair.size))
        else:
            claimed = target.kind == BLOCK
            self._target = opened.enter_context(device.open_source(pair.target.path, pair.target.devno, claimed))
        self._open_digest(opened)
        self._finish(predict(self._context(cancellation)))

    def locks(self) -> tuple[Sequence[Disk], str]:
        """See Guest: all disks below the ends that are devices."""
        return locked_disks(self._machine, self._ends), self._ends[1].real if self._image else ""

    def achieved(self) -> Achieved:
        """See Guest."""
        return achieved_by(self.sync_report)

    def waiting(self, sentence: str) -> None:
        """See Guest."""
        if not self.progress.waiting(sentence):
            super().waiting(sentence)

    def claim(self, held: ExitStack) -> None:
        """See Guest."""
        source, target = self._ends
        disks = self.sync_report.plan.source_disk, self.sync_report.plan.target_disk
        if self._image:
            held.callback(self._image.tidy)
            self._target = held.enter_context(self._image.open())
        else:
            held.callback(os.close, device.lock_disk(disks[1].path))
            self._target = held.enter_context(device.claim_target(target.real, target.devno))
        self._source = held.enter_context(open_source(self._pair, source))
        self._nodes = [
            held.enter_context(device.open_source(disk.path, disk.devno))
            for disk, end in zip(disks, self._ends)
            if end.kind == BLOCK
        ]
        self._open_digest(held)

    def essence(self, plan: Plan) -> object:
        """See Guest. The ends have the times of image files."""
        return plan, self._ends

    def work(self, quiescer: Quiescer, cancellation: Cancellation) -> None:
        """See Guest."""
        copy = PairCopy(self._context(cancellation))
        for device_ in (*self._nodes, self._target):
            device_.drop_cache()
        CopyRun([copy], quiescer, self.sync_report.plan.source_disk).run()
        for node in self._nodes:
            node.drop_cache()
        self._total = copy.total

    def commit(self) -> None:
        """See Guest: give the image that was made its name, then keep its digest. Raises StorageError."""
        target = self._ends[1]
        if self._image:
            self._image.commit(bool(self._total.blocks_changed))
            self._digest.keep(self._lease.settled(target.real) if self._lease else {})
        self._finish(self._total)

    def report(self) -> ImageReport:
        """See Guest."""
        return self.sync_report

    @property
    def _pair(self) -> Pair:
        return self.sync_report.plan.pairs[0]

    def _open_digest(self, opened: ExitStack) -> None:
        """The lease comes before the look: what is written after it is noticed."""
        request = self.request
        if self._digests:
            if not request.check:
                self._lease = opened.enter_context(ImageLease(self._target.fd))
            end = endpoint.look(self._ends[1].real)
            block = block_size(self._source, self._target, least=request.block_size)
            key = DigestKey(end.real, end.content(), self._pair.size, block, scope=request.scope)
            self._digest = opened.enter_context(self._digests.opened(key, request.check, request.compare))

    def _context(self, cancellation: Cancellation) -> PairContext:
        self._entry = PairReport(self._pair, verify=self.request.verify)
        self.sync_report.pairs.append(self._entry)
        return PairContext(
            request=self.request,
            pair=self._pair,
            engine=self._engine,
            source=self._source,
            target=self._target,
            entry=self._entry,
            progress=self.progress,
            cancellation=cancellation,
            nodes=self._nodes,
            checksums=self._digest.checksums,
            prepare=self._digest.begin,
            limit=RateLimit(self.request.rate_limit),
        )

    def _finish(self, outcome: Outcome) -> None:
        self._entry.digest = self._digest.report()
        self._entry.finish(outcome)
        if self._digest.reason:
            self._entry.notes.append("The digest was not used: %s." % self._digest.reason.message)
        self.sync_report.created = self._ends[1].kind == MISSING
        self.progress.pair_finished(self._pair, outcome.blocks_changed, outcome.bytes_written)


def locked_disks(machine: Machine, ends: Iterable[Endpoint]) -> list[Disk]:
    """The disks below all ends that are devices."""
    under = {devno for end in ends if end.kind == BLOCK for devno in machine.disks_under(end.devno)}
    return [disk for disk in machine.disks if disk.devno in under]


def open_source(pair: Pair, end: Endpoint) -> Device:
    """Claimed if it is a device that nothing uses."""
    used = pair.source.mounts or pair.source.holders or end.kind != BLOCK
    return device.open_source(pair.source.path, pair.source.devno, exclusive=not used)
