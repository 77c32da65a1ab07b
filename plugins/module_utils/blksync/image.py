# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The story of an image sync: as that of disks, with one pair, and files on either side."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator

from . import device, discovery, disk_lock, engines, image_end, image_file, image_plan, superblocks
from .cancellation import Cancellation
from .device import Device
from .digest_record import Binding, Facts, Trust
from .digest_store import DigestStore, PairDigest
from .engines.base import Engine, Outcome
from .errors import BlksyncError, DeviceBusyError, QuiesceError, RefusedError
from .image_end import BLOCK, FILE, MISSING, End
from .image_file import ImageFile
from .image_lease import ImageLease
from .machine import Machine
from .pair_sync import Committer, PairSync
from .plan import Pair, Plan
from .progress import Progress
from .quiesce import Quiescer
from .report import SyncReport
from .request import ImageRequest

Observe = Callable[[], Machine]


def run(request: ImageRequest, progress: Progress | None = None, observe: Observe = discovery.observe) -> SyncReport:
    """Make the target equal to the source, or in check mode say exactly what that would write.

    Raises BlksyncError; its ``report`` says how far the run came.
    """
    request.validate()
    ends = (image_end.look(str(request.source)), image_end.look(str(request.target)))
    machine = observe()
    plan = image_plan.make(machine, *ends, request)
    findings = superblocks.examine(plan.pairs, request.allow_damaged_source)
    if plan.refusals or findings.refusals:
        raise RefusedError((*plan.refusals, *findings.refusals))
    engine = engines.choose("native" if request.punch_zeros else request.engine)
    warnings = [*plan.warnings, *findings.warnings]
    report = SyncReport(plan, engine.name, engine.version, request.check, warnings=warnings)
    image = ImageFile(ends[1], ends[0].size, request.keep, request.punch_zeros) if ends[1].kind != BLOCK else None
    try:
        with Cancellation() as cancellation:
            committer = _ImageCommitter(request, engine, ends, image)
            pairs = PairSync(request, engine, report, progress or Progress(), cancellation, committer)
            if request.check:
                _predict(plan.pairs[0], ends, pairs)
            else:
                _carry_out(request, plan, machine, ends, image, pairs, observe)
        report.created = ends[1].kind == MISSING
    except BlksyncError as error:
        error.report = report.as_image_dict()
        raise
    return report


class _ImageCommitter(Committer):
    """Puts an image in place, and keeps its digest."""

    def __init__(self, request: ImageRequest, engine: Engine, ends: tuple[End, End], image: ImageFile | None) -> None:
        self._request = request
        self._ends, self._image = ends, image
        trust = Trust(request.digest_max_age, request.digest_full_every)
        folder = request.digest_dir
        self._digests = DigestStore(folder, engine, request.algorithm, trust) if folder else None
        self._lease: ImageLease | None = None

    @contextmanager
    def digest(self, pair: Pair, target: Device, block: int) -> Iterator[PairDigest]:
        """See Committer. The lease comes before the look: what is written after it is noticed."""
        with ExitStack() as opened:
            if not self._digests:
                yield PairDigest()
                return
            if not self._request.check:
                self._lease = opened.enter_context(ImageLease(target.fd))
            end = image_end.look(self._ends[1].real)
            binding = Binding(end.real, end.content(), pair.size, block, scope=self._request.scope)
            yield opened.enter_context(self._digests.opened(binding, self._request.check, self._request.compare))

    def commit(self, outcome: Outcome) -> None:
        """See Committer. Raises QuiesceError where a source file did not hold still."""
        source = self._ends[0]
        if source.kind == FILE and image_end.look(source.path).content() != source.content():
            raise QuiesceError(
                "%s was written to while it was copied." % source.path, "The copy is inconsistent; run again."
            )
        if self._image:
            self._image.settle(bool(outcome.blocks_changed))

    def content(self) -> Facts:
        """See Committer."""
        return self._lease.settled(self._ends[1].real) if self._lease else {}


def _predict(pair: Pair, ends: tuple[End, End], pairs: PairSync) -> None:
    with ExitStack() as opened:
        source = opened.enter_context(device.open_source(pair.source.path, pair.source.devno))
        if ends[1].kind == MISSING:
            target = opened.enter_context(image_file.zeros(pair.size))
        else:
            exclusive = ends[1].kind == BLOCK
            target = opened.enter_context(device.open_source(pair.target.path, pair.target.devno, exclusive))
        pairs.predict(pair, source, target)


def _carry_out(
    request: ImageRequest,
    plan: Plan,
    machine: Machine,
    ends: tuple[End, End],
    image: ImageFile | None,
    pairs: PairSync,
    observe: Observe,
) -> None:
    """Lock and claim, look again, and copy."""
    (pair,) = plan.pairs
    purpose = "copying %s to %s" % (ends[0].path, ends[1].path)
    with ExitStack() as held:
        lock(held, machine, ends, purpose)
        if image:
            held.callback(image.tidy)
            target = held.enter_context(image.open())
        else:
            held.callback(os.close, device.lock_disk(plan.target_disk.path))
            target = held.enter_context(device.claim_target(ends[1].real, ends[1].devno))
        source = held.enter_context(open_source(pair, ends[0]))
        now = (image_end.look(str(request.source)), image_end.look(str(request.target)))
        if now != ends or image_plan.make(observe(), *now, request) != plan:
            raise DeviceBusyError(
                "The source, the target or their mounts changed while the sync was about to begin.",
                "Nothing was written; run again.",
            )
        quiescer = held.enter_context(Quiescer(timeout=request.quiesce_timeout, label=purpose))
        quiescer.prepare([pair.quiesce])
        pairs.copy(pair, source, target, quiescer)
        pairs.report.warnings += quiescer.notes


def lock(held: ExitStack, machine: Machine, ends: tuple[End, ...], purpose: str) -> None:
    """Hold the locks of all disks under the ends that are devices, and of a file that is the last of them."""
    if ends[-1].kind != BLOCK:
        held.enter_context(disk_lock.hold_file(ends[-1].real, purpose))
    under = {devno for end in ends if end.kind == BLOCK for devno in machine.disks_under(end.devno)}
    for disk in sorted((disk for disk in machine.disks if disk.devno in under), key=lambda disk: disk.devno):
        held.enter_context(disk_lock.hold(disk, purpose))


def open_source(pair: Pair, end: End) -> Device:
    """Claimed where it is a device that nothing uses."""
    used = pair.source.mounts or pair.source.holders or end.kind != BLOCK
    return device.open_source(pair.source.path, pair.source.devno, exclusive=not used)
