# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""From a source and the digest of its last delta to the next delta and digest.

Both are made beside their places. First the delta is put in place, then the digest is advanced; what is interrupted
in between is completed by the next run.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Callable

from . import algorithms, delta_frame, digest_place, discovery, durable, image, image_end, image_plan
from .algorithms import Algorithm
from .cancellation import Cancellation
from .delta import DeltaReader, DeltaWriter
from .delta_frame import Frame
from .device import Device
from .digest import DigestReader, DigestWriter
from .engines.base import Method, Monitor, block_size
from .engines.checksums import Checksums
from .engines.native import NativeEngine
from .errors import AlgorithmError, FileFormatError, QuiesceError, RefusedError, StorageError
from .file_header import Header
from .image_end import End
from .machine import Machine
from .plan import Pair
from .quiesce import Quiescer
from .quiesce.plan import QuiescePlan
from .request import DeltaRequest, check_path

Observe = Callable[[], Machine]


def run(request: DeltaRequest, observe: Observe = discovery.observe) -> dict[str, Any]:
    """The documented result of image_delta with state "created". Raises BlksyncError."""
    request.validate()
    check_path("digest", request.digest)
    if os.path.lexists(request.delta):
        return _pending(request)
    end = image_end.look(request.image)
    machine = observe()
    pair = _plan(machine, end, request)
    begun = time.monotonic()
    with ExitStack() as opened, Cancellation() as cancellation:
        image.lock(opened, machine, (end,), "making %s" % request.delta)
        source = opened.enter_context(image.open_source(pair, end))
        known = opened.enter_context(DigestReader(request.digest)) if os.path.lexists(request.digest) else None
        making = _Making(request, source, known)
        if request.check:
            making.pass_over(source, _Watch(cancellation))
            frame = None
        else:
            quiescer = opened.enter_context(Quiescer(request.quiesce_timeout, "making %s" % request.delta))
            quiescer.prepare([pair.quiesce])
            frame = making.make(source, pair.quiesce, quiescer, cancellation)
            _check_still(end)
            frame = making.put_in_place(frame)
    return dict(making.result(), delta=_facts(request, frame), seconds=round(time.monotonic() - begun, 3))


def _plan(machine: Machine, end: End, request: DeltaRequest) -> Pair:
    """The source as a pair with itself. Raises RefusedError."""
    _disk, shape = image_plan.locate(machine, end)
    quiesce = image_plan.quiesce_for(machine, end, shape, request.quiesce)
    refusals = [*image_plan.source_refusals(machine, end), *quiesce.refusals]
    for path in (request.delta, request.digest):
        folder = os.path.dirname(os.path.realpath(path))
        refusals += digest_place.refusals(machine, folder, shape, quiesce)
    if refusals:
        raise RefusedError(tuple(dict.fromkeys(refusals)))
    return Pair(0, shape, shape, quiesce)


class _Making:
    """One delta in the making. ``known`` is the digest of the last one, None where this one holds everything."""

    def __init__(self, request: DeltaRequest, source: Device, known: DigestReader | None) -> None:
        self._request, self._known = request, known
        self.parent = ""
        if known:
            self.parent = known.content()
            _check_digest(known, source)
        self._algorithm: Algorithm = known.algorithm if known else algorithms.choose(request.algorithm)
        self._block = known.header.block_size if known else block_size(source, least=request.block_size)
        self._size = source.size
        self._counts = {"blocks_total": -(-source.size // self._block), "blocks_changed": 0, "bytes_changed": 0}
        self._quiesced: list[dict[str, Any]] = []
        self._notes: list[str] = []
        self._content = ""

    def pass_over(
        self, source: Device, watch: Monitor, digest: DigestWriter | None = None, delta: DeltaWriter | None = None
    ) -> None:
        """Read the source once, and hand on what is wanted."""
        checksums = Checksums(self._algorithm, self._block, self._known, digest)
        method = Method(self._block, bool(self._known), checksums)
        outcome = NativeEngine().extract(source, watch, method, delta)
        self._counts.update(blocks_changed=outcome.blocks_changed, bytes_changed=outcome.bytes_written)

    def make(self, source: Device, still: QuiescePlan, quiescer: Quiescer, cancellation: Cancellation) -> Frame | None:
        """Write delta and digest under temporary names; None where nothing changed. Raises StorageError."""
        request, now = self._request, int(time.time())
        header = Header(self._size, self._block, now, self._algorithm.number)
        try:
            with DigestWriter(request.digest + ".new", header, self._algorithm) as digest, DeltaWriter(
                request.delta + ".new", Header(self._size, self._block, now)
            ) as delta:
                with quiescer.quiesced(still) as state:
                    source.drop_cache()
                    self.pass_over(source, _Watch(cancellation, quiescer), digest, delta)
                    quiescer.check()
                self._quiesced, self._notes = state.report, list(quiescer.notes)
                if self._known and not delta.records_total:
                    return None
                result, sha256 = digest.finish(), delta.finish()
        except OSError as error:
            raise StorageError(request.delta, os.strerror(error.errno or 0)) from error
        with DeltaReader(request.delta + ".new") as written:
            if written.fingerprint() != sha256:
                raise FileFormatError(request.delta, "it does not hold what was written to it")
        return Frame(
            delta.length,
            sha256,
            self.parent,
            result,
            self._size,
            self._block,
            self._algorithm.name,
            delta.records_total,
            now,
        )

    def put_in_place(self, frame: Frame | None) -> Frame | None:
        """First the delta, then the digest."""
        if frame:
            request = self._request
            try:
                durable.replace(request.delta + delta_frame.SUFFIX, frame.to_json())
                durable.move(request.delta + ".new", request.delta)
                durable.move(request.digest + ".new", request.digest)
            except OSError as error:
                raise StorageError(request.delta, os.strerror(error.errno or 0)) from error
        return frame

    def result(self) -> dict[str, Any]:
        """What is the same in check mode."""
        changed = not self._known or bool(self._counts["blocks_changed"])
        return dict(
            self._counts, changed=changed, pending=False, quiesce=self._quiesced, warnings=self._notes, created=False
        )


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


def _check_still(end: End) -> None:
    if end.kind == image_end.FILE and image_end.look(end.path).content() != end.content():
        raise QuiesceError("%s was written to while it was read." % end.path, "The delta was dropped; run again.")


def _pending(request: DeltaRequest) -> dict[str, Any]:
    """A delta is there already: nobody has taken it away yet. Raises FileFormatError where it is not ours."""
    frame = read_frame(request.delta)
    with DeltaReader(request.delta) as delta:
        delta_frame.check(frame, request.delta, delta.header, delta.length, delta.fingerprint())
    staged = request.digest + ".new"
    if _content_at(request.digest) != frame.result:
        if _content_at(staged) != frame.result or _content_at(request.digest) != frame.parent:
            raise FileFormatError(
                request.delta,
                "it does not belong to the digest %s" % request.digest,
                "Remove the delta and its frame, and it is made anew.",
            )
        if not request.check:
            try:
                durable.move(staged, request.digest)  # an interrupted run has come this far
            except OSError as error:
                raise StorageError(request.digest, os.strerror(error.errno or 0)) from error
    total = -(-frame.data_size // frame.block_size)
    counts = {"blocks_total": total, "blocks_changed": frame.blocks, "bytes_changed": 0}
    rest = {"changed": False, "pending": True, "quiesce": [], "warnings": [], "created": False, "seconds": 0.0}
    return {**counts, **rest, "delta": _facts(request, frame)}


def read_frame(delta: str) -> Frame:
    """The frame beside a delta. Raises FileFormatError."""
    path = delta + delta_frame.SUFFIX
    try:
        with open(path, encoding="utf-8") as file:
            return delta_frame.parse(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(
            delta, "there is no readable frame %s beside it" % path, "Transfer both files, the frame last."
        ) from error


def _content_at(path: str) -> str:
    """The content that a digest speaks of; empty where there is none or it is not whole."""
    if not os.path.lexists(path):
        return ""
    with DigestReader(path) as digest:
        return digest.content()


def _facts(request: DeltaRequest, frame: Frame | None) -> dict[str, Any] | None:
    return dict(asdict(frame), path=request.delta) if frame else None


class _Watch(Monitor):
    def __init__(self, cancellation: Cancellation, quiescer: Quiescer | None = None) -> None:
        self._cancellation, self._quiescer = cancellation, quiescer

    def advanced(self, compared: int, changed: int) -> None:
        self._cancellation.check()
        if self._quiescer:
            self._quiescer.check()
