# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One pair of a sync: compared or copied, proved, reported; the same for partitions and for images."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext

from . import read_errors
from .cancellation import Cancellation
from .device import Device
from .digest_record import Facts
from .digest_store import PairDigest
from .engines.base import Engine, Method, Outcome, block_size
from .pair_copy import PairCopy
from .pair_scope import PairScope
from .pair_watch import CopyWatch
from .plan import Pair
from .progress import Progress
from .quiesce import Quiescer
from .report import PairReport, SyncReport
from .request import CopyRequest
from .superblocks import identity


class Committer:
    """What a copy needs besides its blocks: nothing where the target is a partition."""

    def digest(self, pair: Pair, target: Device, block: int) -> AbstractContextManager[PairDigest]:
        """The digest of the target, in blocks of ``block`` bytes; of a device there is none."""
        return nullcontext(PairDigest())

    def commit(self, outcome: Outcome) -> None:
        """The target is proved: put it in place."""

    def content(self) -> Facts:
        """What tells from outside that the target was changed since; empty where nothing does."""
        return {}


class PairSync:
    """Works on one pair after the other and adds each to the report."""

    def __init__(
        self,
        request: CopyRequest,
        engine: Engine,
        report: SyncReport,
        progress: Progress,
        cancellation: Cancellation,
        committer: Committer | None = None,
    ) -> None:
        self.request = request
        self.engine = engine
        self.report = report
        self.progress = progress
        self.cancellation = cancellation
        self.committer = committer or Committer()

    def predict(self, pair: Pair, source: Device, target: Device) -> None:
        """Compare, with both devices open for reading only."""
        entry = self._begin(pair)
        started = time.monotonic()
        for side in (source, target):
            side.drop_cache()
        block = block_size(source, target, least=self.request.block_size)
        with self.committer.digest(pair, target, block) as digest, PairScope(self.request, pair, block) as scope:
            watch = CopyWatch(entry, self.progress, self.cancellation)
            ranges = scope.ranges(entry)
            with read_errors.explained(entry, source.path):
                outcome = self.engine.compare(source, target, ranges, watch, self._method(digest))
        self._finish(entry, outcome, digest, started)

    def copy(self, pair: Pair, source: Device, target: Device, quiescer: Quiescer) -> None:
        """Copy in whatever passes it takes, with the source quiesced no longer than needed, and prove the copy."""
        self.cancellation.check()
        entry = self._begin(pair)
        started = time.monotonic()
        block = block_size(source, target, least=self.request.block_size)
        with read_errors.explained(entry, source.path), self.committer.digest(pair, target, block) as digest:
            target.drop_cache()
            digest.begin()
            watch = (entry, self.progress, self.cancellation)
            copy = PairCopy(self.request, self.engine, (source, target), quiescer, self._method(digest), watch)
            outcome = copy.run(self.report.plan.source_disk)
            if entry.bytes_skipped:  # else all of it is known to be equal
                entry.notes += identity.verify_same(source, target)
            self.committer.commit(outcome)
            digest.keep(self.committer.content())
        self._finish(entry, outcome, digest, started)

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
