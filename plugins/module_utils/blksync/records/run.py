# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One run, as the history and the records keep it: one JSON object. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from .. import __version__
from ..text import cleaned


@dataclass(frozen=True)
class Origin:
    """Who asked for a run: ``door`` is "module" or "command", ``job`` the name of a job or empty."""

    door: str = "module"
    job: str = ""


@dataclass(frozen=True)
class PairRun:
    """What is kept of one pair of partitions."""

    number: int
    blocks_changed: int
    bytes_written: int
    complete: bool


@dataclass(frozen=True)
class Run:
    """One run on one disk.

    ``start`` and ``end`` are seconds since the epoch, ``duration`` and ``frozen_seconds`` are seconds of a clock that
    nobody sets. ``end`` is None as long as the run has not ended, and for ever if it was killed. ``operation`` is
    "disk_sync", "image_sync", "image_delta" or "verify". ``source`` is the partition table's identifier of the disk
    that was read, None for another source. ``identifier`` is the disk as the user named it; ``ptuuid``,
    ``serial``, ``wwn`` and ``model`` are what was found. ``wrote``: bytes of the disk may differ from before.
    ``error_kind`` is None for a success.
    """

    start: float
    operation: str
    identifier: str
    door: str = "module"
    job: str = ""
    end: float | None = None
    duration: float | None = None
    source: str | None = None
    ptuuid: str | None = None
    serial: str | None = None
    wwn: str | None = None
    model: str | None = None
    wrote: bool = False
    changed: bool = False
    bytes_written: int = 0
    frozen_seconds: float = 0.0
    partitions: tuple[PairRun, ...] = ()
    left_out: tuple[str, ...] = ()
    error_kind: str | None = None
    error_message: str | None = None
    version: str = __version__

    @property
    def succeeded(self) -> bool:
        """Whether the run came to its end, and what it was to do is done."""
        return self.end is not None and self.error_kind is None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able data, with moments in ISO 8601."""
        data: dict[str, Any] = cleaned(asdict(self))
        data.update(start=iso_time(self.start), end=None if self.end is None else iso_time(self.end))
        return data


def from_dict(data: Any) -> Run:
    """The run in what ``as_dict`` gave. Raises ValueError, TypeError or KeyError for anything else."""
    values = dict(data)
    start, end = values.pop("start"), values.pop("end")
    values["partitions"] = tuple(PairRun(**pair) for pair in values["partitions"])
    values["left_out"] = tuple(values["left_out"])
    return Run(start=seconds(start), end=None if end is None else seconds(end), **values)


def to_line(run: Run) -> str:
    """A run as one line of JSON, without the line's end."""
    return json.dumps(run.as_dict(), sort_keys=True)


def from_line(line: str) -> Run | None:
    """The run in a line, or None if the line is not whole."""
    try:
        return from_dict(json.loads(line))
    except (ValueError, TypeError, KeyError):
        return None


def iso_time(moment: float) -> str:
    """Seconds since the epoch as "2026-02-03T04:05:06+00:00"."""
    return datetime.fromtimestamp(int(moment), timezone.utc).isoformat()


def seconds(text: str) -> float:
    """What ``iso_time`` gave, as seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
