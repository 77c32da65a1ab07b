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
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Mapping

from ..discovery.model import Disk
from ..text import cleaned
from . import run as runs
from .run import Run

FORMAT = 1
COMPLETE, INCOMPLETE, CHANGED_ELSEWHERE, UNKNOWN = STATES = ("complete", "incomplete", "changed_elsewhere", "unknown")
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

    "complete": the last run that wrote to the disk ended well. "incomplete": a run wrote to it, or may have, and did
    not end well. "changed_elsewhere": the disk was complete, and somebody else wrote to it since. "unknown": another
    part of this collection wrote to it, an image for example.
    ``before`` is the state before the last attempt. ``signatures`` maps the number of each copied partition, as text,
    to what the target looked like after the last success (see signature). ``verified`` and ``boot_tested`` are the
    moments, in seconds since the epoch, of the last full comparison that found no difference and of the last boot test
    that passed. ``size`` is in bytes, ``links`` are those of Disk. ``process`` is the
    process that is at work on the disk or was killed (see sync.bookkeeping), None after its end.
    """

    key: DiskKey
    model: str = ""
    size: int = 0
    links: tuple[str, ...] = ()
    state: str = UNKNOWN
    before: str = UNKNOWN
    last_success: Run | None = None
    last_attempt: Run | None = None
    verified: float | None = None
    boot_tested: float | None = None
    signatures: Mapping[str, str] | None = None
    process: Mapping[str, Any] | None = None

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
        last_attempt=run,
        process=process,
    )


def ended(record: DiskRecord, run: Run, signatures: Mapping[str, str] | None, complete: bool = True) -> DiskRecord:
    """The record after ``run``, which has its end.

    ``complete``: a success makes the disk complete; else it makes its state unknown, and only if something was written.
    """
    now = replace(record, last_attempt=run, process=None)
    if run.succeeded and complete:
        return replace(now, state=COMPLETE, before=COMPLETE, last_success=run, signatures=signatures)
    if not run.wrote:
        return replace(now, state=record.before)
    state = UNKNOWN if run.succeeded else INCOMPLETE
    return replace(now, state=state, before=state, signatures=None)


def found_changed(record: DiskRecord) -> DiskRecord:
    """The record of a complete disk that no longer looks as its last success left it."""
    return replace(record, state=CHANGED_ELSEWHERE, before=CHANGED_ELSEWHERE) if record.state == COMPLETE else record


def to_text(record: DiskRecord) -> str:
    """The record as a file of JSON."""
    data = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    data.update(
        format=FORMAT,
        key=asdict(record.key),
        links=list(record.links),
        last_success=record.last_success.as_dict() if record.last_success else None,
        last_attempt=record.last_attempt.as_dict() if record.last_attempt else None,
        verified=_iso(record.verified),
        boot_tested=_iso(record.boot_tested),
    )
    return json.dumps(cleaned(data), indent=1, sort_keys=True) + "\n"


def from_text(text: str) -> DiskRecord:
    """The record in a file. Raises ValueError for anything that ``to_text`` did not write."""
    try:
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("it has another format")
        data["key"] = DiskKey(**data["key"])
        data["links"] = tuple(data["links"])
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
