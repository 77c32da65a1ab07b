# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What is known of a digest besides its checksums, and why it may not be trusted. Pure.

The record is a JSON object beside the digest file. It says "unfinished" from before the first write to the target until
the digest is in place, so that whatever dies in between leaves a digest that nobody believes.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict

from .machine import Disk, Partition
from .request import ALL, SCOPES

FORMAT = 1
FINISHED, UNFINISHED = "finished", "unfinished"
Facts = Dict[str, Any]


@dataclass(frozen=True)
class Binding:
    """What a digest is for. ``source`` and ``target`` are what tells a side from all others, ``holds`` is what the
    target looks like from outside (its file system's type and UUID, an image file's times); sizes are bytes. With the
    ``scope`` "used" the digest may say nothing of some blocks.
    """

    source: Facts
    target: Facts
    holds: Facts
    size: int
    block: int
    engine: str
    algorithm: str = ""
    scope: str = ALL

    @property
    def identified(self) -> bool:
        """Whether the target can be told from any other, also from one that was given the same partition table."""
        return any(self.target.get(key) for key in _HARDWARE) and self.source != self.target

    @property
    def name(self) -> str:
        """A file name for the pair, readable and without surprises."""
        return "%s--%s" % (_slug(self.source), _slug(self.target))


@dataclass(frozen=True)
class Record:
    """The binding of a digest and its history. Times are Unix seconds, ``runs`` counts those that believed the digest
    since a run compared in full at ``compared``; ``content`` is the digest's ContentHash."""

    binding: Binding
    state: str = UNFINISHED
    generation: int = 0
    compared: int = 0
    runs: int = 0
    content: str = ""
    format: int = FORMAT

    def to_json(self) -> str:
        """For the file beside the digest."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def parse(text: str) -> Record | None:
    """The record in a file's text, None where it is none of this format."""
    try:
        content = json.loads(text)
        binding = Binding(**content.pop("binding"))
        record = Record(binding, **content)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    numbers: tuple[object, ...] = (record.generation, record.compared, record.runs, binding.size, binding.block)
    texts = (record.state, record.content, binding.engine, binding.algorithm)
    sides = (binding.source, binding.target, binding.holds)
    sound = (
        record.format == FORMAT
        and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(side, dict) for side in sides)
    )
    return record if sound else None


@dataclass(frozen=True)
class Trust:
    """How long a digest is believed before everything is compared again: seconds, and every n-th run. 0: no limit."""

    max_age: int
    every: int


def distrust(record: Record, binding: Binding, trust: Trust, now: int) -> str:
    """Why the digest of that record must not be used for ``binding``; empty where it may."""
    was = record.binding
    reasons = (
        (record.state != FINISHED, "the last run with it did not come to its end"),
        (not binding.identified, "the target has no serial number that tells it from other disks"),
        (was.source != binding.source, "it belongs to another source"),
        (was.target != binding.target, "it belongs to another target"),
        ((was.size, was.block) != (binding.size, binding.block), "it is for another size or block size"),
        (was.scope not in SCOPES, "it is of an unknown scope"),
        (was.algorithm != binding.algorithm, "it was made with %s" % was.algorithm),
        (was.engine != binding.engine, "it was made by %s" % was.engine),
        (was.holds != binding.holds, "the target was changed by something else since"),
        (0 < trust.max_age <= now - record.compared or now < record.compared, "it is time for a full comparison"),
        (0 < trust.every <= record.runs + 1, "it is time for a full comparison"),
    )
    return next((words for applies, words in reasons if applies), "")


def unfinished(record: Record | None, binding: Binding) -> Record:
    """What is written before the target is."""
    before = record or Record(binding)
    return replace(before, binding=binding, state=UNFINISHED, generation=before.generation + 1)


def finished(before: Record, holds: Facts, content: str, now: int, believed: bool) -> Record:
    """What is written at the end; ``believed``: the digest was used, so nothing was compared."""
    return replace(
        before,
        binding=replace(before.binding, holds=holds),
        state=FINISHED,
        content=content,
        compared=before.compared if believed else now,
        runs=before.runs + 1 if believed else 0,
    )


def partition_identity(disk: Disk, partition: Partition) -> Facts:
    """What tells a partition from all others, as far as it is known. Some adapters make up a serial number."""
    made_up = disk.serial is None or len(set(disk.serial.strip())) < 3 or disk.serial.upper() in _MADE_UP
    return {
        "ptuuid": disk.ptuuid,
        "partuuid": partition.partuuid,
        "serial": None if made_up else disk.serial,
        "wwn": disk.wwn,
        "backing_file": disk.backing_file,
        "disk_size": disk.size,
        "number": partition.number,
        "start": partition.start,
    }


def partition_content(partition: Partition) -> Facts:
    """What a partition looks like from outside."""
    return {"fstype": partition.fstype, "uuid": partition.uuid}


_HARDWARE = ("serial", "wwn", "backing_file", "file")
_MADE_UP = ("0123456789ABCDEF", "123456789ABC", "1234567890", "0123456789", "123456789012", "DEADBEEF")


def _slug(side: Facts) -> str:
    """A few words of an identity that are fit for a file name."""
    parts = [side.get(key) for key in ("file", "ptuuid", "serial", "number")]
    words = "-".join(str(part) for part in parts if part)
    return re.sub(r"[^A-Za-z0-9-]+", "_", words)[-80:] or "unknown"
