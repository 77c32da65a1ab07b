# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What is known of one backup disk, and how a run changes that. Pure.

The order makes a record true at every moment: it says "incomplete" on the medium before the run writes a byte, and
"complete" only after the run has verified the copy. A run that is killed, or cannot write the record again, leaves
"incomplete" behind.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Collection, Iterable, Mapping

from ..discovery.model import Disk
from . import run as runs
from .run import Run

FORMAT = 1
COMPLETE, INCOMPLETE, CHANGED_ELSEWHERE, UNKNOWN, NEVER = STATES = (
    "complete",
    "incomplete",
    "changed_elsewhere",
    "unknown",
    "never",
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class DiskKey:
    """Identifies one disk: its partition table's identifier together with its serial number or WWN."""

    ptuuid: str
    serial: str = ""
    wwn: str = ""

    @property
    def name(self) -> str:
        """A file name that no other key has."""
        mark = self.serial or self.wwn
        text = "%s-%s" % (self.ptuuid, mark) if mark else self.ptuuid
        safe = _UNSAFE.sub("_", text)[:100]
        if safe == text and not safe.startswith("."):
            return safe
        return "%s-%s" % (safe.lstrip("."), hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12])


@dataclass(frozen=True)
class DiskRecord:
    """What is known of a disk. ``state`` is one of STATES.

    "complete": every partition that a run wrote to was copied to its end. "incomplete": a run wrote to the disk, or may
    have, and did not end well. "changed_elsewhere": the disk was complete, and somebody else wrote to it since.
    "unknown": another part of this collection wrote to it, an image for example. "never": nothing was written to it.
    ``before`` is the state before the last attempt. ``torn`` has the numbers of the partitions that a run wrote to, or
    may have, and that none copied to its end since. ``copied`` maps the number of each copied partition, as text, to
    the end of the run that did that last, and ``signatures`` maps it to what the target looked like then (see
    signature). ``verified`` and ``boot_tested`` are the moments of the last full comparison that found no difference
    and of the last boot test that passed. Moments are seconds since the epoch. ``size`` is in bytes, ``links`` are
    those of Disk. ``process`` is the process that is at work on the disk or was killed (see sync.bookkeeping), None
    after its end.
    """

    key: DiskKey
    model: str = ""
    size: int = 0
    links: tuple[str, ...] = ()
    state: str = NEVER
    before: str = NEVER
    torn: tuple[int, ...] = ()
    copied: Mapping[str, float] = field(default_factory=dict)
    last_success: Run | None = None
    last_attempt: Run | None = None
    verified: float | None = None
    boot_tested: float | None = None
    signatures: Mapping[str, str] | None = None
    process: Mapping[str, Any] | None = None

    @property
    def doubtful(self) -> frozenset[int]:
        """The partitions that are torn, or that the last attempt may have torn: it has not ended, or never will."""
        attempt = self.last_attempt
        unfinished = touched(self, attempt) if attempt and attempt.end is None else ()
        return frozenset((*self.torn, *unfinished))

    @property
    def trusted(self) -> Mapping[str, str]:
        """The signatures of the partitions that are not in doubt."""
        return {number: each for number, each in (self.signatures or {}).items() if int(number) not in self.doubtful}

    def covered_by(self, numbers: Iterable[int]) -> bool:
        """Whether these are all partitions that were ever copied, or written to, as far as is known."""
        return {*map(int, self.copied), *self.doubtful} <= set(numbers)

    def as_of(self, numbers: Iterable[int] | None = None) -> float | None:
        """When the oldest copy of a partition was made, of these or of all; None if there is none."""
        wanted = None if numbers is None else set(numbers)
        moments = [end for number, end in self.copied.items() if wanted is None or int(number) in wanted]
        return min(moments) if moments else self.last_success.end if self.last_success else None

    def as_disk(self) -> Disk:
        """The disk as it was seen last, for whoever compares it with an identifier. It has no device node."""
        return Disk(
            name="",
            path="",
            devno="",
            size=self.size,
            ptuuid=self.key.ptuuid,
            serial=self.key.serial or None,
            wwn=self.key.wwn or None,
            model=self.model or None,
            links=self.links,
        )


def key_of(disk: Disk) -> DiskKey | None:
    """None for a disk without a partition table's identifier: nothing can be kept of it."""
    return DiskKey(disk.ptuuid, disk.serial or "", disk.wwn or "") if disk.ptuuid else None


def touched(record: DiskRecord, run: Run) -> Iterable[int]:
    """The partitions that a run on the disk may write to. Of an image nobody knows: all that were copied."""
    numbers = [pair.number for pair in run.partitions if pair.number]
    return numbers or {int(number) for number in (*record.copied, *(record.signatures or ()))}


def begun(record: DiskRecord | None, disk: Disk, run: Run, process: Mapping[str, Any] | None = None) -> DiskRecord:
    """The record to be on the medium before ``process`` writes to ``disk``: incomplete, whatever was known."""
    key = key_of(disk)
    if key is None:
        raise ValueError("%s has no partition table identifier" % disk.path)
    known = record or DiskRecord(key)
    return replace(
        known,
        key=key,
        model=disk.model or "",
        size=disk.size,
        links=disk.links,
        state=INCOMPLETE,
        before=known.state,
        torn=tuple(sorted(known.doubtful)),
        last_attempt=run,
        process=process,
    )


def ended(record: DiskRecord, run: Run, signatures: Mapping[str, str] | None, complete: bool = True) -> DiskRecord:
    """The record after ``run``, which has its end.

    ``complete``: a success copies its partitions to their end; else it makes the disk's state unknown, and only if
    something was written. A disk stays as bad as it was if the run left out a partition that is torn or was changed.
    """
    now = replace(record, last_attempt=run, process=None)
    if run.succeeded and complete:
        copied = {pair.number for pair in run.partitions}
        left = tuple(number for number in record.torn if number not in copied)
        good = not left and (record.before != CHANGED_ELSEWHERE or now.covered_by(copied))
        state = COMPLETE if good else record.before
        lasting = {number: each for number, each in (record.signatures or {}).items() if int(number) not in copied}
        moments = {**record.copied, **{str(number): run.end for number in copied if run.end is not None}}
        return replace(
            now,
            state=state,
            before=state,
            torn=left,
            copied=moments,
            last_success=run,
            signatures={**lasting, **(signatures or {})},
        )
    if not run.wrote:
        return replace(now, state=record.before)
    state = UNKNOWN if run.succeeded else INCOMPLETE
    torn = tuple(sorted({*record.torn, *touched(record, run)}))
    now = replace(now, state=state, before=state, torn=torn)
    return replace(now, signatures=now.trusted or None)


def compared(record: DiskRecord, run: Run, numbers: Collection[int]) -> DiskRecord:
    """The record after ``run`` found every byte of these partitions equal: of a part of the disk nothing is said."""
    return replace(record, verified=run.end) if record.covered_by(numbers) else record


def found_changed(record: DiskRecord) -> DiskRecord:
    """The record of a complete disk that no longer looks as its last success left it."""
    return replace(record, state=CHANGED_ELSEWHERE, before=CHANGED_ELSEWHERE) if record.state == COMPLETE else record


def to_text(record: DiskRecord) -> str:
    """The record as a file of JSON, in ASCII: bytes of a serial number that are no UTF-8 come back as they were."""
    data = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    data.update(
        format=FORMAT,
        key=asdict(record.key),
        links=list(record.links),
        torn=list(record.torn),
        copied={number: runs.iso_time(moment) for number, moment in record.copied.items()},
        last_success=record.last_success.as_dict() if record.last_success else None,
        last_attempt=record.last_attempt.as_dict() if record.last_attempt else None,
        verified=_iso(record.verified),
        boot_tested=_iso(record.boot_tested),
    )
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def from_text(text: str) -> DiskRecord:
    """The record in a file. Raises ValueError for anything that ``to_text`` did not write."""
    try:
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("it has another format")
        data["key"] = DiskKey(**data["key"])
        data["links"] = tuple(data["links"])
        data["torn"] = tuple(data["torn"])
        data["copied"] = {str(int(number)): runs.seconds(moment) for number, moment in data["copied"].items()}
        for name in ("last_success", "last_attempt"):
            data[name] = None if data[name] is None else runs.from_dict(data[name])
        for name in ("verified", "boot_tested"):
            data[name] = None if data[name] is None else runs.seconds(data[name])
        record = DiskRecord(**data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("it is no record of a disk: %s" % error) from error
    if record.state not in STATES or record.before not in STATES:
        raise ValueError("it has the unknown state %r" % record.state)
    return record


def _iso(moment: float | None) -> str | None:
    return None if moment is None else runs.iso_time(moment)
