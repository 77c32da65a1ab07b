# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The history of a job: one JSON object a line in /var/lib/blksync/NAME.jsonl for each run, the newest last.

Nothing here may be called while a file system is frozen: the history may lie on it. So it is written
before ``disk_sync.run`` begins and after that has put everything back, never in between.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Iterable

from .. import __version__
from ..errors import BlksyncError
from ..paths import STATE_DIR
from ..records.run import PairRun
from ..sync.result import PairReport, SyncReport
from ..system import atomic_file
from ..text import cleaned

SUFFIX = ".jsonl"
LONGEST = 1000  # lines; then the older half goes
LARGEST = 1024 * 1024  # bytes; likewise


@dataclass(frozen=True)
class Run:
    """One run of a job on one target that finished or failed.

    ``start`` and ``end`` are seconds since the epoch, ``duration`` is seconds of a clock that nobody sets; ``end``
    is None for a run that was killed. ``error_kind`` is None for a success. ``identifier`` is the target as the job
    names it.
    """

    start: float
    end: float | None
    duration: float | None
    identifier: str
    ptuuid: str | None = None
    serial: str | None = None
    model: str | None = None
    changed: bool = False
    bytes_written: int = 0
    partitions: tuple[PairRun, ...] = ()
    error_kind: str | None = None
    error_message: str | None = None
    version: str = __version__

    @property
    def succeeded(self) -> bool:
        """Whether the partitions that were to be copied are equal to the source's as they stood then."""
        return self.error_kind is None


def run_of(
    identifier: str, start: float, end: float, duration: float, report: SyncReport | None, error: BlksyncError | None
) -> Run:
    """The line for a run that is over; ``report`` is how far it came, None if nothing had begun."""
    target = report.plan.target if report else None
    return Run(
        start=start,
        end=end,
        duration=round(duration, 3),
        identifier=identifier,
        ptuuid=target.ptuuid if target else None,
        serial=target.serial if target else None,
        model=target.model if target else None,
        changed=report.changed if report else False,
        bytes_written=report.bytes_written if report else 0,
        partitions=tuple(_pair_run(pair) for pair in report.pairs) if report else (),
        error_kind=error.kind if error else None,
        error_message=str(error) if error else None,
    )


def _pair_run(pair: PairReport) -> PairRun:
    return PairRun(pair.pair.number, pair.blocks_changed, pair.bytes_written, pair.complete)


def append(name: str, run: Run, directory: str = STATE_DIR) -> None:
    """Add one line, on the medium when this returns, and drop the oldest if there are too many.

    Raises OSError, UntrustedError.
    """
    os.makedirs(directory, mode=0o755, exist_ok=True)
    path = _path(name, directory)
    atomic_file.append_line(path, to_line(run))
    content = atomic_file.read(path)
    if content.count(b"\n") > LONGEST or len(content) > LARGEST:
        kept = rotated(_lines(content))
        atomic_file.replace(path, "".join(line + "\n" for line in kept))


def read(name: str, directory: str = STATE_DIR) -> list[Run]:
    """All runs, the newest last; none for a job that never ran. A line torn by a power cut is left out."""
    try:
        return parse(_lines(atomic_file.read(_path(name, directory))))
    except FileNotFoundError:
        return []


def parse(lines: Iterable[str]) -> list[Run]:
    """The runs in those lines that are whole."""
    runs = (from_line(line) for line in lines)
    return [run for run in runs if run]


def rotated(lines: list[str]) -> list[str]:
    """The newer half of the lines, and the last success if it is older, because its age must be kept."""
    newer = lines[len(lines) // 2 :]
    if any(run.succeeded for run in parse(newer)):
        return newer
    successes = [line for line in lines for run in [from_line(line)] if run and run.succeeded]
    return successes[-1:] + newer


def to_line(run: Run) -> str:
    """A run as one line of JSON, without the line's end."""
    data = asdict(run)
    data.update(start=iso_time(run.start), end=None if run.end is None else iso_time(run.end))
    return json.dumps(cleaned(data), sort_keys=True)


def from_line(line: str) -> Run | None:
    """The run in a line, or None if the line is not whole."""
    try:
        data = json.loads(line)
        start, end = _seconds(data.pop("start")), data.pop("end")
        partitions = tuple(PairRun(**pair) for pair in data.pop("partitions"))
        return Run(start=start, end=None if end is None else _seconds(end), partitions=partitions, **data)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as "2026-02-03T04:05:06+00:00"."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _path(name: str, directory: str) -> str:
    return os.path.join(directory, name + SUFFIX)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()
