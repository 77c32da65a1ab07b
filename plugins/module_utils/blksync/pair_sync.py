# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One pair of a sync: compared or copied, proved, reported; the same for partitions and for images."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from . import digest_record, digest_witness
from .cancellation import Cancellation
from .device import Device
from .digest_record import Binding, Facts
from .digest_store import DigestStore, PairDigest
from .digest_witness import WriteMark
from .engines.base import Engine, Method, Outcome, block_size
from .pair_copy import PairCopy
from .pair_scope import PairScope
from .pair_watch import CopyWatch
from .plan import Pair, Plan
from .progress import Progress
from .quiesce import Quiescer
from .report import PairReport, SyncReport
from .request import CopyRequest


class Sides:
    """What a digest is bound to: here the partitions of two disks."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def binding(self, pair: Pair, block: int) -> Binding:
        """As both sides were planned."""
        source = digest_record.partition_identity(self._plan.source_disk, pair.source)
        target = digest_record.partition_identity(self._plan.target_disk, pair.target)
        holds = digest_record.partition_content(pair.target)
        return Binding(source, target, holds, pair.size, block, engine="")

    def settled(self, pair: Pair, outcome: Outcome) -> Facts:
        """The target is proved. Returns what it looks like from now on: like the source."""
        return digest_record.partition_content(pair.source)


class PairSync:
    """Works on one pair after the other and adds each to the report."""

    def __init__(
        self,
        request: CopyRequest,
        engine: Engine,
        report: SyncReport,
        progress: Progress,
        cancellation: Cancellation,
        sides: Sides,
    ) -> None:
        self.request = request
        self.engine = engine
        self.report = report
        self.progress = progress
        self.cancellation = cancellation
        self.sides = sides
        self.digests = _digest_store(request, engine)

    def predict(self, pair: Pair, source: Device, target: Device) -> None:
        """Compare, with both devices open for reading only."""
        entry = self._begin(pair)
        started = time.monotonic()
        for side in (source, target):
            side.drop_cache()
        block = block_size(source, target, least=self.request.block_size)
        with self._digest(pair, source, target) as digest, PairScope(self.request, pair, block) as scope:
            watch = CopyWatch(entry, self.progress, self.cancellation)
            ranges = scope.ranges(entry)
            outcome = self.engine.compare(source, target, ranges, watch, self._method(digest))
        self._finish(entry, outcome, digest, started)

    def copy(self, pair: Pair, source: Device, target: Device, quiescer: Quiescer) -> None:
        """Copy in whatever passes it takes, with the source quiesced no longer than needed, and prove the copy."""
        self.cancellation.check()
        entry = self._begin(pair)
        started = time.monotonic()
        with self._digest(pair, source, target) as digest:
            self._mark_written(pair, target, entry)
            target.drop_cache()
            digest.begin()
            watch = (entry, self.progress, self.cancellation)
            copy = PairCopy(self.request, self.engine, (source, target), quiescer, self._method(digest), watch)
            outcome = copy.run(self.report.plan.source_disk)
            digest.keep(self._holds(pair, target, self.sides.settled(pair, outcome)))
        self._finish(entry, outcome, digest, started)

    def _digest(self, pair: Pair, source: Device, target: Device) -> AbstractContextManager[PairDigest]:
        if not self.digests:
            return nullcontext(PairDigest())
        block = block_size(source, target, least=self.request.block_size)
        binding = self.sides.binding(pair, block)
        holds = self._holds(pair, target, binding.holds)
        binding = replace(binding, holds=holds, scope=self.request.scope)
        return self.digests.opened(binding, self.request.check, self.request.compare)

    def _holds(self, pair: Pair, target: Device, facts: Facts) -> Facts:
        """What the target looks like, with the witnesses of a device; a file's times tell of every write."""
        if not (self.digests and target.is_block):
            return facts
        return dict(facts, sample=digest_witness.sample(target), written=self._mark(pair).read())

    def _mark(self, pair: Pair) -> WriteMark:
        return WriteMark(self.sides.binding(pair, block=0).target)

    def _mark_written(self, pair: Pair, target: Device, entry: PairReport) -> None:
        problem = self._mark(pair).renew() if target.is_block else ""
        if problem:
            entry.notes.append(
                "Could not note that %s is written (%s): remove its digests, if there are any." % (target.path, problem)
            )

    def _method(self, digest: PairDigest) -> Method:
        return Method(self.request.block_size, self.request.compare, digest.checksums)

    def _begin(self, pair: Pair) -> PairReport:
        entry = PairReport(pair, verify=self.request.verify)
        self.report.pairs.append(entry)
        self.progress.pair_started(pair, self.engine.name)
        return entry

    def _finish(self, entry: PairReport, outcome: Outcome, digest: PairDigest, started: float) -> None:
        entry.block_size = outcome.block
        entry.blocks_total = -(-entry.pair.size // outcome.block)
        entry.blocks_changed = outcome.blocks_changed
        entry.bytes_written = outcome.bytes_written
        entry.bytes_read = outcome.bytes_read
        entry.digest = digest.report()
        entry.notes += outcome.notes
        if digest.reason:
            entry.notes.append("The digest was not used: %s." % digest.reason.rstrip("."))
        entry.seconds = time.monotonic() - started
        entry.writing = False
        entry.complete = True
        self.progress.pair_finished(entry.pair, outcome.blocks_changed, outcome.bytes_written)


def _digest_store(request: CopyRequest, engine: Engine) -> DigestStore | None:
    if not request.digest_dir:
        return None
    trust = digest_record.Trust(request.digest_max_age, request.digest_full_every)
    return DigestStore(request.digest_dir, engine, request.algorithm, trust)
