# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The record of a digest: for which state of the image the digest is valid. Pure.

The record is a JSON object beside the digest file. It says "unfinished" from before the first write to the target until
the digest is in place, so a run that is killed in between leaves a digest that is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict

from ..errors import Reason
from ..options import ALL, SCOPES

FORMAT = 1
FINISHED, UNFINISHED = "finished", "unfinished"
Facts = Dict[str, Any]


@dataclass(frozen=True)
class DigestKey:
    """What a digest is for. ``target`` is an image file's path without symbolic links, ``holds`` is what the file looks
    like from outside: its inode, size and times, or nothing if it may have changed unseen. Sizes are bytes. With the
    ``scope`` "used" the digest may say nothing of some blocks.
    """

    target: str
    holds: Facts
    size: int
    block: int
    engine: str = ""
    algorithm: str = ""
    scope: str = ALL

    @property
    def name(self) -> str:
        """A file name for the digest: readable, without surprises, and another one for every target."""
        words = re.sub(r"[^A-Za-z0-9-]+", "_", self.target).strip("_")[-80:]
        return "%s-%s" % (words, hashlib.sha256(os.fsencode(self.target)).hexdigest()[:8])


@dataclass(frozen=True)
class Record:
    """What a digest is for, and its history. Times are Unix seconds, ``runs`` counts those that used the digest since a
    run compared in full at ``compared``; ``content`` is the digest's ContentHash."""

    key: DigestKey
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
    """The record in a file's text, None if it is none of this format."""
    try:
        content = json.loads(text)
        key = DigestKey(**content.pop("key"))
        record = Record(key, **content)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    numbers: tuple[object, ...] = (record.generation, record.compared, record.runs, key.size, key.block)
    texts = (record.state, record.content, key.target, key.engine, key.algorithm)
    sound = (
        record.format == FORMAT
        and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and isinstance(key.holds, dict)
    )
    return record if sound else None


@dataclass(frozen=True)
class Validity:
    """How long a digest is valid before everything is compared again: seconds, and every n-th run. 0: no limit."""

    max_age: int
    every: int


def stale(record: Record, key: DigestKey, validity: Validity, now: int) -> Reason | None:
    """Why the digest of that record must not be used for ``key``; None if it may."""
    was = record.key
    due = (
        0 < validity.max_age <= now - record.compared or now < record.compared or 0 < validity.every <= record.runs + 1
    )
    unseen = "something else had the target open, or its file system does not report every write"
    reasons = (
        (record.state != FINISHED, Reason("unfinished", "the last run with it did not come to its end")),
        (was.target != key.target, Reason("other_target", "it belongs to another target")),
        ((was.size, was.block) != (key.size, key.block), Reason("other_size", "it is for another size or block size")),
        (was.scope not in SCOPES, Reason("other_scope", "it is of an unknown scope")),
        (was.algorithm != key.algorithm, Reason("other_algorithm", "it was made with %s" % was.algorithm)),
        (was.engine != key.engine, Reason("other_engine", "it was made by %s" % was.engine)),
        (not was.holds, Reason("writes_unseen", unseen)),
        (was.holds != key.holds, Reason("target_changed", "the target was changed by something else since")),
        (due, Reason("comparison_due", "it is time for a full comparison")),
    )
    return next((reason for applies, reason in reasons if applies), None)


def unfinished(record: Record | None, key: DigestKey) -> Record:
    """What is written before the target is."""
    before = record or Record(key)
    return replace(before, key=key, state=UNFINISHED, generation=before.generation + 1)


def finished(before: Record, holds: Facts, content: str, now: int, used: bool) -> Record:
    """What is written at the end; ``used``: the digest was used, so nothing was compared."""
    return replace(
        before,
        key=replace(before.key, holds=holds),
        state=FINISHED,
        content=content,
        compared=before.compared if used else now,
        runs=before.runs + 1 if used else 0,
    )
