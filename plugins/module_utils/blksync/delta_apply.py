# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Apply a delta to the image that it was made for, and to no other.

The image is read through once, which gives its content as it is and as it would be: nothing is written unless the one
is the delta's parent and the other its result. While it is being written a mark stands beside it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Callable, Iterator

from . import algorithms, delta_frame, device, discovery, durable, image, image_end, image_file, image_plan
from .algorithms import Algorithm
from .cancellation import Cancellation
from .delta import DeltaReader
from .delta_create import read_frame
from .delta_frame import Frame, Survey
from .device import Device, allocate
from .digest import ContentHash
from .engines.base import whole
from .engines.layout import Layout, window_of
from .engines.reader import Job, ParallelReader
from .errors import RefusedError, StorageError, VerificationError
from .image_end import BLOCK, MISSING, End
from .image_file import ImageFile
from .machine import Disk, Machine
from .request import DeltaRequest
from .safety import Refusal

Observe = Callable[[], Machine]


def run(request: DeltaRequest, observe: Observe = discovery.observe) -> dict[str, Any]:
    """The documented result of image_delta with state "applied". Raises BlksyncError."""
    request.validate()
    begun = time.monotonic()
    with ExitStack() as opened, Cancellation() as cancellation:
        delta = opened.enter_context(DeltaReader(request.delta))
        frame = read_frame(request.delta)
        delta_frame.check(frame, request.delta, delta.header, delta.length, delta.fingerprint())
        end = image_end.look(request.image)
        machine = observe()
        warnings = _refuse(machine, end, frame, request)
        applying = _Applying(delta, frame, end, cancellation)
        if request.check:
            needed = applying.predict(opened)
        else:
            image.lock(opened, machine, (end,), "applying %s" % request.delta)
            needed = applying.carry_out(opened, image_plan.locate(machine, end)[0])
    survey = applying.survey
    return {
        "changed": needed or end.kind == MISSING,
        "created": end.kind == MISSING,
        "blocks_total": delta.header.blocks,
        "blocks_changed": survey.blocks_changed if needed else 0,
        "bytes_changed": survey.bytes_changed if needed else 0,
        "delta": dict(asdict(frame), path=request.delta),
        "pending": False,
        "quiesce": [],
        "warnings": warnings,
        "seconds": round(time.monotonic() - begun, 3),
    }


def _refuse(machine: Machine, end: End, frame: Frame, request: DeltaRequest) -> list[str]:
    """Raise RefusedError for every reason that can be seen from outside; returns warnings."""
    disk, shape = image_plan.locate(machine, end)
    refusals = [
        *image_plan.target_refusals(machine, end, disk, shape, request.create),
        *image_plan.protected_refusals(machine, end, request.protected),
    ]
    if end.kind == MISSING and frame.parent and request.create:
        refusals.append(
            Refusal(
                "parent_missing",
                "There is no %s, and the delta changes an image that is there." % end.path,
                "Apply the delta that begins the chain first.",
            )
        )
    if end.kind != MISSING and end.size != frame.data_size:
        refusals.append(
            Refusal("size_differs", "%s has %d bytes, the delta is for %d." % (end.path, end.size, frame.data_size))
        )
    if refusals:
        raise RefusedError(tuple(refusals))
    return list(image_plan.bare_name(end))


class _Applying:
    """One delta on its way into one image."""

    def __init__(self, delta: DeltaReader, frame: Frame, end: End, cancellation: Cancellation) -> None:
        self._delta, self._frame, self._end = delta, frame, end
        self._cancellation = cancellation
        self._algorithm: Algorithm = algorithms.choose(frame.algorithm)
        self._mark = _mark_path(end, delta.path)
        self.survey = Survey("", "")

    def predict(self, opened: ExitStack) -> bool:
        """Whether it would be applied, with the image open for reading only."""
        fresh = self._end.kind == MISSING
        if fresh:
            target = opened.enter_context(image_file.zeros(self._frame.data_size))
        else:
            target = opened.enter_context(device.open_source(self._end.real, self._end.devno, self._end.kind == BLOCK))
        return self._survey(target, fresh)

    def carry_out(self, opened: ExitStack, disk: Disk) -> bool:
        """Apply it unless it is applied already, and prove it. ``disk`` is what a device is on."""
        made: ImageFile | None = None
        if self._end.kind == BLOCK:
            opened.callback(os.close, device.lock_disk(disk.path))
            target = opened.enter_context(device.claim_target(self._end.real, self._end.devno))
        else:
            made = ImageFile(self._end, self._frame.data_size, keep=0, punch=False)
            target = opened.enter_context(made.open())
        target.drop_cache()
        needed = self._survey(target, self._end.kind == MISSING)
        if needed:
            self._remember()
            self._write(target)
            target.flush()
            target.drop_cache()
            self._verify(target)
        if made:
            made.settle(needed)
        _storing(self._mark, durable.remove, self._mark)
        return needed

    def _survey(self, target: Device, fresh: bool) -> bool:
        self.survey = survey(target, self._delta, self._algorithm, self._cancellation)
        return delta_frame.is_needed(self._frame, self.survey, fresh, self._resumed())

    def _resumed(self) -> bool:
        """Whether an earlier attempt with this delta on this image did not come to its end."""
        try:
            with open(self._mark, encoding="utf-8") as file:
                return bool(json.load(file) == self._mark_content())
        except (OSError, ValueError):
            return False

    def _remember(self) -> None:
        _storing(self._mark, durable.replace, self._mark, json.dumps(self._mark_content()) + "\n")

    def _mark_content(self) -> dict[str, str]:
        return {"image": self._end.real, "delta": self._frame.sha256}

    def _write(self, target: Device) -> None:
        for offset, data, found in self._blocks(target):
            if found != data:
                found[:] = data
                target.write(found, offset)

    def _verify(self, target: Device) -> None:
        for offset, data, found in self._blocks(target):
            if found != data:
                raise VerificationError(
                    "%s does not hold what was written to it at byte %d." % (target.path, offset),
                    "Check the disk that it is on, and run again.",
                )

    def _blocks(self, target: Device) -> Iterator[tuple[int, bytes, memoryview]]:
        """(offset, what the delta has there, what the image has there) for every block of the delta."""
        buffer = allocate(self._frame.block_size)
        for block, data in self._delta.records():
            self._cancellation.check()
            found = buffer[: len(data)]
            target.read(found, block * self._frame.block_size)
            yield block * self._frame.block_size, data, found


def survey(target: Device, delta: DeltaReader, algorithm: Algorithm, cancellation: Cancellation) -> Survey:
    """Read an image through. Raises DeviceReadError, FileFormatError."""
    size, block = target.size, delta.header.block_size
    layout = Layout(whole(size), size, block, window_of(block))
    current, applied = (ContentHash(size, block, algorithm) for _which in range(2))
    blocks = count = 0
    records = delta.records()
    record = next(records, None)
    jobs = (Job(position, layout.pieces(position, length)) for position, length in layout.windows())
    with ParallelReader((target,), jobs, layout.window, lambda data: algorithm.of_blocks(data, block)) as reader:
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


def _mark_path(end: End, delta: str) -> str:
    """Beside the image, so that it stays with it; for a device beside the delta."""
    if end.kind == BLOCK:
        return delta + ".unfinished"
    folder, name = os.path.split(end.real)
    return os.path.join(folder, ".%s.blksync-delta" % name)


def _storing(path: str, action: Callable[..., None], *arguments: str) -> None:
    try:
        action(*arguments)
    except OSError as error:
        raise StorageError(path, os.strerror(error.errno or 0)) from error
