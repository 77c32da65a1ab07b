# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Metrics of one job in Prometheus' text format: what node_exporter's textfile collector reads. Pure.

Every metric is a gauge. A moment of 0 means never. The file is to be written again now and then although nothing ran:
a backup grows old while its disk is away.
"""

from __future__ import annotations

from typing import Callable, Iterator, NamedTuple

from ..records.disk_record import COMPLETE
from ..text import cleaned
from .standing import RUNNING, DiskStanding, JobStanding


class Metric(NamedTuple):
    """The name, the help text, and the value for one disk."""

    name: str
    text: str
    value: Callable[[DiskStanding], float]


DISK_METRICS = (
    Metric(
        "blksync_disk_complete",
        "Whether the backup disk is complete: the last run that wrote to it ended well, and nobody changed it since.",
        lambda disk: disk.state == COMPLETE,
    ),
    Metric(
        "blksync_disk_last_success_timestamp_seconds",
        "When the last sync of the disk that succeeded ended.",
        lambda disk: disk.last_success or 0,
    ),
    Metric(
        "blksync_disk_last_attempt_timestamp_seconds",
        "When the last run that claimed the disk began, whatever came of it.",
        lambda disk: disk.last_attempt or 0,
    ),
    Metric(
        "blksync_disk_last_verified_timestamp_seconds",
        "When all of the disk was last compared with its source without a difference.",
        lambda disk: disk.verified or 0,
    ),
    Metric("blksync_disk_running", "Whether a run is at work on the disk.", lambda disk: disk.state == RUNNING),
    Metric(
        "blksync_disk_frozen_seconds",
        "How long programs had to wait before they could write to the source during the last success.",
        lambda disk: disk.frozen_seconds or 0,
    ),
    Metric("blksync_disk_duration_seconds", "How long the last success took.", lambda disk: disk.duration or 0),
    Metric(
        "blksync_disk_written_bytes",
        "How much the last success wrote to the disk.",
        lambda disk: disk.bytes_written or 0,
    ),
)


def render(standing: JobStanding) -> str:
    """All metrics of a job and its disks."""
    lines: list[str] = []
    for metric in DISK_METRICS:
        samples = [(_labels(disk, standing), metric.value(disk)) for disk in standing.disks]
        lines += _metric(metric.name, metric.text, samples)
    job = '{job="%s"}' % _escaped(standing.job)
    lines += _metric(
        "blksync_job_good",
        "Whether the job has the complete and fresh backups that it needs.",
        [(job, float(standing.good))],
    )
    if standing.max_age is not None:
        lines += _metric(
            "blksync_job_max_age_seconds",
            "How old the last success of a disk may be.",
            [(job, float(standing.max_age))],
        )
    return "".join(line + "\n" for line in lines)


def _metric(name: str, text: str, samples: list[tuple[str, float]]) -> Iterator[str]:
    yield "# HELP %s %s" % (name, text)
    yield "# TYPE %s gauge" % name
    for labels, value in samples:
        yield "%s%s %s" % (name, labels, repr(float(value)))


def _labels(disk: DiskStanding, standing: JobStanding) -> str:
    """Two disks may have one identifier; then their serial numbers distinguish them."""
    alike = [other for other in standing.disks if other.identifier == disk.identifier]
    name = disk.identifier if len(alike) == 1 else "%s/%s" % (disk.identifier, disk.serial)
    return '{job="%s",disk="%s"}' % (_escaped(standing.job), _escaped(name))


def _escaped(text: str) -> str:
    printable: str = cleaned(text)
    return printable.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
