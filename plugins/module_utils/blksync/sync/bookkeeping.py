# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A run's entries in the records: before its first write, and after everything is put back.

The record of a disk may lie on a file system that the run freezes. So nothing is written in between, and nothing at
all if something could not be put back: the record then still says "incomplete".
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Callable, Mapping, Sequence

from ..discovery.model import Disk
from ..errors import BlksyncError, DeviceBusyError, RecordError, Refusal, RefusedError, RestoreError, UntrustedError
from ..options import ALL
from ..records import disk_record, history, store
from ..records.disk_record import COMPLETE, DiskRecord
from ..records.run import Origin, PairRun, Run
from ..system import locks, processes
from . import foreign_changes
from .monitor import nothing
from .plan import Pair
from .result import CopyReport


@dataclass(frozen=True)
class Achieved:
    """What a run did to a disk so far.

    ``wrote``: bytes may differ from before. ``completes``: the run's success makes the disk a complete backup, which
    then looks as ``signatures`` say (see records.signature). ``verified``: every byte was read back. The rest is as in
    records.run.Run.
    """

    wrote: bool = False
    completes: bool = False
    changed: bool = False
    bytes_written: int = 0
    frozen_seconds: float = 0.0
    source: str | None = None
    partitions: tuple[PairRun, ...] = ()
    left_out: tuple[str, ...] = ()
    verified: bool = False
    signatures: Mapping[str, str] = field(default_factory=dict)


def achieved_by(report: CopyReport) -> Achieved:
    """What a sync did to its target, as its report has it."""
    return Achieved(
        wrote=report.changed,
        source=report.plan.source.ptuuid if report.plan.source else None,
        changed=report.changed,
        bytes_written=report.bytes_written,
        frozen_seconds=sum(pair.frozen_seconds for pair in report.pairs),
        partitions=tuple(
            PairRun(pair.pair.number, pair.blocks_changed, pair.bytes_written, pair.complete) for pair in report.pairs
        ),
    )


class Bookkeeping:
    """The entries of one run, in the records below ``directory``. ``operation`` and ``identifier`` are those of Run."""

    def __init__(
        self,
        origin: Origin,
        operation: str,
        identifier: str,
        directory: str = "",
        after_begin: Callable[[], None] = nothing,
    ) -> None:
        self._directory = directory
        self._after_begin = after_begin
        self._clock = time.monotonic()
        self._run = Run(start=time.time(), operation=operation, identifier=identifier, door=origin.door, job=origin.job)
        self._begun: list[tuple[Disk, DiskRecord]] = []
        self._changed: dict[str, DiskRecord] = {}  # by somebody else, as foreign_changes() found
        self._ended = False

    def known(self, disk: Disk) -> DiskRecord | None:
        """The record of a disk, None if there is none. Raises RecordError."""
        key = disk_record.key_of(disk)
        return store.load(key, self._directory) if key else None

    def foreign_changes(self, disk: Disk, pairs: Sequence[Pair]) -> tuple[Refusal, ...]:
        """The refusal if somebody else changed the disk. Another run may be at work on it. Raises RecordError."""
        known = self.known(disk)
        found = foreign_changes.examine(known, disk, pairs)
        if not found or known is None or known != self.known(disk):
            return ()  # another run has marked the disk meanwhile; what it writes is no work of somebody else
        self._changed[disk.devno] = known
        return tuple(found)

    def begin(self, disks: Sequence[Disk], pairs: Sequence[Pair] = ()) -> None:
        """Mark the disks, which are locked and will be written in these pairs, as incomplete. Raises RecordError."""
        planned = tuple(PairRun(pair.number, 0, 0, False) for pair in pairs if pair.number)
        run = replace(self._run, partitions=planned)
        for disk in disks:
            if disk_record.key_of(disk) is None:
                continue
            known = self.known(disk)
            if known and known.last_attempt and known.last_attempt.end is None:
                history.append(killed(known.last_attempt), self._directory)
            record = disk_record.begun(known, disk, _on(run, disk), processes.lasting_identity(os.getpid()))
            store.save(record, self._directory)
            self._begun.append((disk, record))
        self._after_begin()

    def end(self, disks: Sequence[Disk], achieved: Achieved, error: BlksyncError | None) -> list[str]:
        """Write what came of the run on ``disks``: to the history, and to the records of those that were begun.

        Returns sentences on what could not be written; the copy is what it is. Of several calls the first one counts.
        """
        if self._ended or isinstance(error, RestoreError):
            return []
        self._ended = True
        if isinstance(error, RefusedError) and foreign_changes.CODE in [refusal.code for refusal in error.refusals]:
            self._found_changed(disks)
        run = replace(
            self._over(error),
            wrote=achieved.wrote,
            source=achieved.source,
            changed=achieved.changed,
            bytes_written=achieved.bytes_written,
            frozen_seconds=round(achieved.frozen_seconds, 3),
            partitions=achieved.partitions,
            left_out=achieved.left_out,
        )
        problems: list[str] = []
        begun = {disk.devno: record for disk, record in self._begun}
        for each, record in [(_on(run, disk), begun.get(disk.devno)) for disk in disks] or [(run, None)]:
            try:
                # Only who holds the lock of a disk may write its record: another run may be at work on it.
                if record:
                    ended = disk_record.ended(record, each, achieved.signatures, achieved.completes)
                    if ended.state == COMPLETE and achieved.verified:
                        ended = disk_record.compared(ended, each, [pair.number for pair in each.partitions])
                    store.save(ended, self._directory)
                history.append(each, self._directory)
            except (RecordError, UntrustedError) as problem:
                problems.append(str(problem))
        return problems

    def compared(self, report: CopyReport | None, error: BlksyncError | None) -> list[str]:
        """Write down what a comparison found, by which nothing was written. Returns what ``end`` does."""
        run = self._over(error)
        if report and report.changed and not error:
            blocks = sum(pair.blocks_changed for pair in report.pairs)
            run = replace(run, error_kind="different", error_message="The disks differ in %d blocks." % blocks)
        disk = report.plan.target if report else None
        try:
            history.append(_on(run, disk) if disk else run, self._directory)
            if disk and report and run.succeeded and all(pair.scope == ALL for pair in report.pairs):
                numbers = [pair.pair.number for pair in report.pairs]
                self._change(disk, lambda known: disk_record.compared(known, run, numbers))
        except BlksyncError as problem:
            return [str(problem)]
        return []

    def _over(self, error: BlksyncError | None) -> Run:
        """The run, which is over now."""
        return replace(
            self._run,
            end=time.time(),
            duration=round(time.monotonic() - self._clock, 3),
            error_kind=error.kind if error else None,
            error_message=str(error) if error else None,
        )

    def _change(self, disk: Disk, changed: Callable[[DiskRecord], DiskRecord]) -> None:
        """Write the record of a disk anew if there is one, unless another run is at work on the disk."""
        with suppress(DeviceBusyError), locks.hold(disk.devno, disk.path, disk.describe(), "writing its record"):
            known = self.known(disk)
            if known:
                store.save(changed(known), self._directory)

    def _found_changed(self, disks: Sequence[Disk]) -> None:
        """Let the records say that somebody else changed the disks, unless another run was at work on them since."""
        for disk in disks:
            seen = self._changed.get(disk.devno)
            with suppress(BlksyncError):
                self._change(disk, lambda known: disk_record.found_changed(known) if known == seen else known)  # noqa: B023


def killed(run: Run) -> Run:
    """A run that left no end, as the history has it."""
    return replace(
        run,
        error_kind="interrupted",
        error_message="The run did not come to its end: it was killed, or the machine stopped.",
    )


def _on(run: Run, disk: Disk) -> Run:
    return replace(run, ptuuid=disk.ptuuid, serial=disk.serial, wwn=disk.wwn, model=disk.model)
