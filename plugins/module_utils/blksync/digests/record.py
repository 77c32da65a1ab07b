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
    """The binding of a digest and its history. Times are Unix seconds, ``runs`` counts those that believed the digest
    since a run compared in full at ``compared``; ``content`` is the digest's ContentHash."""

    binding: DigestKey
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
        binding = DigestKey(**content.pop("binding"))
        record = Record(binding, **content)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    numbers: tuple[object, ...] = (record.generation, record.compared, record.runs, binding.size, binding.block)
    texts = (record.state, record.content, binding.target, binding.engine, binding.algorithm)
    sound = (
        record.format == FORMAT
        and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and isinstance(binding.holds, dict)
    )
    return record if sound else None


@dataclass(frozen=True)
class Trust:
    """How long a digest is believed before everything is compared again: seconds, and every n-th run. 0: no limit."""

    max_age: int
    every: int


def distrust(record: Record, binding: DigestKey, trust: Trust, now: int) -> str:
    """Why the digest of that record must not be used for ``binding``; empty where it may."""
    was = record.binding
    reasons = (
        (record.state != FINISHED, "the last run with it did not come to its end"),
        (was.target != binding.target, "it belongs to another target"),
        ((was.size, was.block) != (binding.size, binding.block), "it is for another size or block size"),
        (was.scope not in SCOPES, "it is of an unknown scope"),
        (was.algorithm != binding.algorithm, "it was made with %s" % was.algorithm),
        (was.engine != binding.engine, "it was made by %s" % was.engine),
        (not was.holds, "something else had the target open, or its file system does not tell of every write"),
        (was.holds != binding.holds, "the target was changed by something else since"),
        (0 < trust.max_age <= now - record.compared or now < record.compared, "it is time for a full comparison"),
        (0 < trust.every <= record.runs + 1, "it is time for a full comparison"),
    )
    return next((words for applies, words in reasons if applies), "")


def unfinished(record: Record | None, binding: DigestKey) -> Record:
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
