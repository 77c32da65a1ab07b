# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Applies a delta to an image whose content is the delta's parent.

The image is read once, to compute the name of its present content and of the content after the delta. Nothing is
written unless these are the delta's parent and result. While the image is being written, a mark lies beside it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from typing import Callable, Iterator, Sequence

from ..discovery.model import Disk, Machine
from ..discovery.observe import observe as observe_machine
from ..engines.range_map import Layout, window_of
from ..engines.rate_limit import UNLIMITED, RateLimit
from ..engines.reader import ParallelReader, ReadRequest
from ..errors import Refusal, StorageError, UntrustedError, VerificationError
from ..formats import algorithms
from ..formats.algorithms import Algorithm
from ..formats.delta_file import DeltaReader
from ..formats.digest_file import ContentHash
from ..options import DeltaRequest
from ..quiesce.client import Quiescer
from ..ranges import whole
from ..sync import endpoint, image_plan, image_sync, image_target, session
from ..sync.bookkeeping import Achieved, Bookkeeping
from ..sync.endpoint import BLOCK, MISSING, Endpoint
from ..sync.image_target import ImageFile
from ..sync.plan import Plan
from ..sync.session import Guest, Observe
from ..system import atomic_file, device
from ..system.device import Device, allocate
from ..system.signals import Cancellation
from . import manifest as manifests
from .create import read_manifest
from .manifest import Manifest, Survey
from .result import DeltaReport


def run(request: DeltaRequest, observe: Observe = observe_machine, books: Bookkeeping | None = None) -> DeltaReport:
    """Apply a delta, unless it is applied already. Raises BlksyncError."""
    request.validate()
    begun = time.monotonic()
    with DeltaReader(request.delta) as delta:
        manifest = read_manifest(request.delta)
        manifests.check(manifest, request.delta, delta.header, delta.length, delta.fingerprint())
        guest = DeltaApplication(request, delta, manifest, books)
        session.run(guest, observe)
        return guest.result(time.monotonic() - begun)


class DeltaApplication(Guest):
    """One delta on its way into one image."""

    _machine: Machine
    _end: Endpoint
    _mark: str
    _target: Device
    _cancellation: Cancellation

    def __init__(
        self, request: DeltaRequest, delta: DeltaReader, manifest: Manifest, books: Bookkeeping | None
    ) -> None:
        super().__init__(request.check, request.quiesce_timeout, books)
        self.purpose = "applying %s" % request.delta
        self._request, self._delta, self._manifest = request, delta, manifest
        self._algorithm: Algorithm = algorithms.choose(manifest.algorithm)
        self._image: ImageFile | None = None
        self._nodes: list[Device] = []
        self._needed = False
        self._writing = False
        self._bytes_written = 0
        self._limit = RateLimit(request.rate_limit)
        self.survey = Survey("", "")

    def make_plan(self, machine: Machine) -> Plan:
        """See Guest: a plan without pairs, as nothing is read but the delta."""
        request, manifest = self._request, self._manifest
        self._machine = machine
        self._end = end = endpoint.look(request.image)
        self.written = image_sync.locked_disks(machine, [end])
        disk, shape = image_plan.locate(machine, end)
        refusals = [
            *image_plan.target_refusals(machine, end, disk, shape, request.create),
            *image_plan.protected_refusals(machine, end, request.protected),
        ]
        if end.kind == MISSING and manifest.parent and request.create:
            refusals.append(
                Refusal(
                    "parent_missing",
                    "There is no %s, and the delta changes an image that is there." % end.path,
                    "Apply the delta that begins the chain first.",
                )
            )
        if end.kind != MISSING and end.size != manifest.data_size:
            refusals.append(
                Refusal(
                    "size_differs", "%s has %d bytes, the delta is for %d." % (end.path, end.size, manifest.data_size)
                )
            )
        return Plan(disk, disk, (), tuple(refusals), tuple(image_plan.bare_name(end)))

    def begin(self, plan: Plan, machine: Machine) -> None:
        """See Guest."""
        self._mark = _mark_path(self._end, self._delta.path)

    def predict(self, opened: ExitStack, cancellation: Cancellation) -> None:
        """See Guest."""
        end, self._cancellation = self._end, cancellation
        if end.kind == MISSING:
            self._target = opened.enter_context(image_target.zeros(self._manifest.data_size))
        else:
            self._target = opened.enter_context(device.open_source(end.real, end.devno, end.kind == BLOCK))
        self._look_through()

    def locks(self) -> tuple[Sequence[Disk], str]:
        """See Guest."""
        image_path = "" if self._end.kind == BLOCK else self._end.real
        return image_sync.locked_disks(self._machine, [self._end]), image_path

    def achieved(self) -> Achieved:
        """See Guest."""
        return Achieved(wrote=self._writing, changed=self._writing, bytes_written=self._bytes_written)

    def claim(self, held: ExitStack) -> None:
        """See Guest."""
        if self._end.kind == BLOCK:
            disk, _shape = image_plan.locate(self._machine, self._end)
            held.callback(os.close, device.lock_disk(disk.path))
            self._target = held.enter_context(device.claim_target(self._end.real, self._end.devno))
            self._nodes = [held.enter_context(device.open_source(disk.path, disk.devno))]
        else:
            self._image = ImageFile(self._end, self._manifest.data_size, keep=0, punch=False)
            self._target = held.enter_context(self._image.open())

    def essence(self, plan: Plan) -> object:
        """See Guest."""
        return plan, self._end

    def work(self, quiescer: Quiescer, cancellation: Cancellation) -> None:
        """See Guest: apply it unless it is applied already, and verify it."""
        self._cancellation = cancellation
        target = self._target
        for opened in (*self._nodes, target):
            opened.drop_cache()
        self._look_through()
        if self._needed:
            self._remember()
            self._write(target)
            target.flush()
            for opened in (*self._nodes, target):
                opened.drop_cache()
            self._verify(target)

    def commit(self) -> None:
        """See Guest: give an image that was made its name. Raises StorageError."""
        if self._image:
            self._image.commit(self._needed)
        _storing(self._mark, atomic_file.remove, self._mark)

    def result(self, seconds: float) -> DeltaReport:
        """What the run did, which took so many seconds."""
        created = self._end.kind == MISSING
        return DeltaReport(
            self._request.delta,
            self._manifest,
            changed=self._needed or created,
            blocks_total=self._delta.header.blocks,
            blocks_changed=self.survey.blocks_changed if self._needed else 0,
            bytes_changed=self.survey.bytes_changed if self._needed else 0,
            created=created,
            warnings=self.warnings,
            seconds=seconds,
        )

    def _look_through(self) -> None:
        """Find out whether it has to be applied. Raises DeltaError if it is not for this image."""
        self.survey = survey(self._target, self._delta, self._algorithm, self._cancellation, self._limit)
        fresh = self._end.kind == MISSING
        self._needed = manifests.is_needed(self._manifest, self.survey, fresh, self._resumed())

    def _resumed(self) -> bool:
        """Whether an earlier attempt with this delta on this image did not come to its end."""
        try:
            return bool(json.loads(atomic_file.read(self._mark)) == self._mark_content())
        except (OSError, ValueError, UntrustedError):
            return False

    def _remember(self) -> None:
        _storing(self._mark, atomic_file.replace, self._mark, json.dumps(self._mark_content()) + "\n")

    def _mark_content(self) -> dict[str, str]:
        return {"image": self._end.real, "delta": self._manifest.sha256}

    def _write(self, target: Device) -> None:
        self._writing = True
        for offset, data, found in self._blocks(target):
            if found != data:
                found[:] = data
                self._limit.before_write(len(found), self._cancellation.check)
                target.write(found, offset)
                self._bytes_written += len(found)

    def _verify(self, target: Device) -> None:
        for offset, data, found in self._blocks(target):
            if found != data:
                raise VerificationError(
                    "%s does not hold what was written to it at byte %d." % (target.path, offset),
                    "Check the disk that it is on, and run again.",
                )

    def _blocks(self, target: Device) -> Iterator[tuple[int, bytes, memoryview]]:
        """(offset, what the delta has there, what the image has there) for every block of the delta."""
        buffer = allocate(self._manifest.block_size)
        for block, data in self._delta.records():
            self._cancellation.check()
            found = buffer[: len(data)]
            self._limit.before_read(len(found), self._cancellation.check)
            target.read(found, block * self._manifest.block_size)
            yield block * self._manifest.block_size, data, found


def survey(
    target: Device,
    delta: DeltaReader,
    algorithm: Algorithm,
    cancellation: Cancellation,
    limit: RateLimit = UNLIMITED,
) -> Survey:
    """Read an image through. Raises DeviceReadError, FileFormatError."""
    size, block = target.size, delta.header.block_size
    layout = Layout(whole(size), size, block, window_of(block))
    current, applied = (ContentHash(size, block, algorithm) for _which in range(2))
    blocks = count = 0
    records = delta.records()
    record = next(records, None)
    jobs = (ReadRequest(position, layout.extents(position, length)) for position, length in layout.windows())
    with ParallelReader(
        (target,),
        jobs,
        layout.window,
        lambda data: algorithm.of_blocks(data, block),
        lambda length: limit.before_read(length, cancellation.check),
    ) as reader:
        for window in reader:
            cancellation.check()
            checksums = bytearray(window.checksums)
            first = window.position // block
            while record and record[0] < first + len(checksums) // algorithm.size:
                index = record[0] - first
                found = window.buffers[0][index * block : index * block + len(record[1])]
                if found != record[1]:
                    blocks, count = blocks + 1, count + len(record[1])
                checksums[index * algorithm.size : (index + 1) * algorithm.size] = algorithm.checksum(
                    memoryview(record[1])
                )
                record = next(records, None)
            current.update(window.checksums)
            applied.update(checksums)
            reader.release(window)
    return Survey(current.hexdigest(), applied.hexdigest(), blocks, count)


def _mark_path(end: Endpoint, delta: str) -> str:
    """Beside the image, so that it stays with it; for a device beside the delta."""
    if end.kind == BLOCK:
        return delta + ".unfinished"
    directory, name = os.path.split(end.real)
    return os.path.join(directory, ".%s.blksync-delta" % name)


def _storing(path: str, action: Callable[..., None], *arguments: str) -> None:
    try:
        action(*arguments)
    except OSError as error:
        raise StorageError(path, os.strerror(error.errno or 0)) from error
