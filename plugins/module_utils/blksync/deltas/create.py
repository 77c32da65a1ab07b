# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Creates the next delta and digest from a source and the digest of its last delta.

Both are written to temporary files. First the delta is renamed, then the digest. If a run is interrupted in between,
the next run completes it.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Sequence

from ..digests.compare import DigestComparison
from ..discovery.model import Disk, Machine
from ..discovery.observe import observe as observe_machine
from ..engines.base import CopyOptions, Outcome, block_size
from ..engines.monitor import Monitor
from ..engines.native.engine import NativeEngine
from ..engines.rate_limit import RateLimit
from ..errors import AlgorithmError, FileFormatError, StorageError
from ..formats import algorithms
from ..formats.algorithms import Algorithm
from ..formats.delta_file import DeltaReader, DeltaWriter
from ..formats.digest_file import DigestReader, DigestWriter
from ..formats.header import Header
from ..options import DeltaRequest
from ..options.kinds import check_path
from ..quiesce import stillness
from ..quiesce.client import Quiescer
from ..quiesce.step import StepReport
from ..sync import digest_place, endpoint, image_plan, image_sync, session
from ..sync.endpoint import BLOCK, Endpoint
from ..sync.plan import Pair, Plan
from ..sync.refusals import rate_refusals
from ..sync.session import Guest, Observe
from ..system import atomic_file, device
from ..system.device import Device
from ..system.signals import Cancellation
from . import manifest as manifests
from .manifest import Manifest
from .result import DeltaReport


def run(request: DeltaRequest, observe: Observe = observe_machine) -> DeltaReport:
    """Make the next delta, unless one waits already. Raises BlksyncError."""
    request.validate()
    check_path("digest", request.digest)
    if os.path.lexists(request.delta):
        return _pending(request)
    guest = DeltaCreation(request)
    begun = time.monotonic()
    session.run(guest, observe)
    return guest.result(time.monotonic() - begun)


class DeltaCreation(Guest):
    """One delta in the making, and the digest that the next one begins with."""

    _machine: Machine
    _end: Endpoint
    _pair: Pair
    _source: Device
    _known: DigestReader | None  # the digest of the last delta, None where this one holds everything
    _algorithm: Algorithm
    _outcome: Outcome

    def __init__(self, request: DeltaRequest) -> None:
        super().__init__(request.check, request.quiesce_timeout)
        self.purpose = "making %s" % request.delta
        self._request = request
        self._nodes: list[Device] = []
        self._manifest: Manifest | None = None
        self._parent = ""
        self._block = 0
        self._quiesced: list[StepReport] = []

    def make_plan(self, machine: Machine) -> Plan:
        """See Guest: the source as a pair with itself."""
        request = self._request
        self._end = end = endpoint.look(request.image)
        disk, shape = image_plan.locate(machine, end)
        quiesce = image_plan.quiesce_for(machine, end, shape, request.quiesce)
        refusals = [*image_plan.source_refusals(machine, end), *quiesce.refusals]
        for path in (request.delta, request.digest):
            directory = os.path.dirname(os.path.realpath(path))
            refusals += digest_place.refusals(machine, directory, shape, quiesce)
        pair = Pair(0, shape, shape, quiesce)
        refusals += rate_refusals([pair], request.rate_limit, request.quiesce_timeout)
        return Plan(disk, disk, (pair,), tuple(dict.fromkeys(refusals)), quiesce.warnings)

    def begin(self, plan: Plan, machine: Machine) -> None:
        """See Guest."""
        self._machine = machine
        (self._pair,) = plan.pairs

    def predict(self, opened: ExitStack, cancellation: Cancellation) -> None:
        """See Guest."""
        self.claim(opened)
        self._pass_over(_Watch(cancellation))

    def locks(self) -> tuple[Sequence[Disk], str]:
        """See Guest."""
        return image_sync.locked_disks(self._machine, [self._end]), "" if self._end.kind == BLOCK else self._end.real

    def claim(self, held: ExitStack) -> None:
        """See Guest. Raises AlgorithmError, FileFormatError for a digest that cannot be gone on from."""
        request = self._request
        self._source = source = held.enter_context(image_sync.open_source(self._pair, self._end))
        if self._end.kind == BLOCK:
            disk, _shape = image_plan.locate(self._machine, self._end)
            self._nodes = [held.enter_context(device.open_source(disk.path, disk.devno))]
        self._known = known = None
        if os.path.lexists(request.digest):
            self._known = known = held.enter_context(DigestReader(request.digest))
            self._parent = known.content()
            _check_digest(known, source)
        self._algorithm = known.algorithm if known else algorithms.choose(request.algorithm)
        self._block = known.header.block_size if known else block_size(source, least=request.block_size)

    def essence(self, plan: Plan) -> object:
        """See Guest."""
        return plan, self._end

    def work(self, quiescer: Quiescer, cancellation: Cancellation) -> None:
        """See Guest: write delta and digest under temporary names. Raises StorageError."""
        request, size, now = self._request, self._source.size, int(time.time())
        header = Header(size, self._block, now, self._algorithm.number)
        try:
            with DigestWriter(request.digest + ".new", header, self._algorithm) as digest, DeltaWriter(
                request.delta + ".new", Header(size, self._block, now)
            ) as delta:
                self._read_quiesced(quiescer, cancellation, digest, delta)
                if self._known and not delta.records_total:
                    return
                result, sha256 = digest.finish(), delta.finish()
        except OSError as error:
            raise StorageError(request.delta, os.strerror(error.errno or 0)) from error
        with DeltaReader(request.delta + ".new") as written:
            if written.fingerprint() != sha256:
                raise FileFormatError(request.delta, "it does not hold what was written to it")
        self._manifest = Manifest(
            delta.length,
            sha256,
            self._parent,
            result,
            size,
            self._block,
            self._algorithm.name,
            delta.records_total,
            now,
        )

    def commit(self) -> None:
        """See Guest: first the delta gets its name, then the digest. Raises StorageError."""
        request = self._request
        if self._manifest:
            try:
                atomic_file.replace(request.delta + manifests.SUFFIX, self._manifest.to_json())
                atomic_file.move(request.delta + ".new", request.delta)
                atomic_file.move(request.digest + ".new", request.digest)
            except OSError as error:
                raise StorageError(request.delta, os.strerror(error.errno or 0)) from error

    def result(self, seconds: float) -> DeltaReport:
        """What the run did, which took so many seconds."""
        outcome = self._outcome
        return DeltaReport(
            self._request.delta,
            self._manifest,
            changed=not self._known or bool(outcome.blocks_changed),
            blocks_total=outcome.blocks_total,
            blocks_changed=outcome.blocks_changed,
            bytes_changed=outcome.bytes_written,
            quiesce=self._quiesced,
            warnings=self.warnings,
            seconds=seconds,
        )

    def _read_quiesced(
        self, quiescer: Quiescer, cancellation: Cancellation, digest: DigestWriter, delta: DeltaWriter
    ) -> None:
        """Read the source once, as of one moment. Raises QuiesceError if something wrote to it during this time."""
        still = stillness.of(self._source)
        still.check()
        with quiescer.quiesced(self._pair.quiesce) as held:
            for opened in (*self._nodes, self._source):
                opened.drop_cache()
            still.begin()
            self._pass_over(_Watch(cancellation, quiescer), digest, delta)
            stillness.expect_none(still.end(self._source.size), self._source.path)
            quiescer.check()
        self._quiesced = held.report

    def _pass_over(self, watch: Monitor, digest: DigestWriter | None = None, delta: DeltaWriter | None = None) -> None:
        """Read the source once, and hand on what is wanted."""
        checksums = DigestComparison(self._algorithm, self._block, self._known, digest)
        limit = RateLimit(self._request.rate_limit)
        options = CopyOptions(self._block, bool(self._known), checksums, limit=limit)
        self._outcome = NativeEngine().extract(self._source, watch, options, delta)


def _check_digest(known: DigestReader, source: Device) -> None:
    if known.algorithm.size < algorithms.STRONG:
        raise AlgorithmError(
            "%s was made with %s, whose checksums would overlook a changed block now and then."
            % (known.path, known.algorithm.name),
            "Remove it to begin a new chain.",
        )
    if known.header.data_size != source.size:
        raise FileFormatError(
            known.path,
            "it is for %d bytes, and %s has %d" % (known.header.data_size, source.path, source.size),
            "Remove it to begin a new chain.",
        )


def _pending(request: DeltaRequest) -> DeltaReport:
    """The delta that already exists, because it was not removed yet. Raises FileFormatError if it is not ours."""
    manifest = read_manifest(request.delta)
    with DeltaReader(request.delta) as delta:
        manifests.check(manifest, request.delta, delta.header, delta.length, delta.fingerprint())
    staged = request.digest + ".new"
    if _content_at(request.digest) != manifest.result:
        if _content_at(staged) != manifest.result or _content_at(request.digest) != manifest.parent:
            raise FileFormatError(
                request.delta,
                "it does not belong to the digest %s" % request.digest,
                "Remove the delta and its manifest, and it is made anew.",
            )
        if not request.check:
            try:
                atomic_file.move(staged, request.digest)  # an interrupted run has come this far
            except OSError as error:
                raise StorageError(request.digest, os.strerror(error.errno or 0)) from error
    total = -(-manifest.data_size // manifest.block_size)
    return DeltaReport(request.delta, manifest, False, total, manifest.blocks, 0, pending=True)


def read_manifest(delta: str) -> Manifest:
    """The manifest beside a delta. Raises FileFormatError."""
    path = delta + manifests.SUFFIX
    try:
        return manifests.parse(atomic_file.read(path).decode("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(
            delta, "there is no readable manifest %s beside it" % path, "Transfer both files, the manifest last."
        ) from error


def _content_at(path: str) -> str:
    """The content that a digest speaks of; empty if there is none or it is not whole."""
    if not os.path.lexists(path):
        return ""
    with DigestReader(path) as digest:
        return digest.content()


class _Watch(Monitor):
    def __init__(self, cancellation: Cancellation, quiescer: Quiescer | None = None) -> None:
        self._cancellation, self._quiescer = cancellation, quiescer

    def advanced(self, compared: int, changed: int) -> None:
        self._cancellation.check()
        if self._quiescer:
            self._quiescer.check()
