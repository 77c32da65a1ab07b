# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Publishes the result of a job's run after everything was put back: as metrics and as a desktop notification."""

from __future__ import annotations

from typing import Sequence

from ..errors import UntrustedError
from . import history, metrics, notify
from .config import Job
from .run import Result


def publish(job: Job, results: Sequence[Result], directory: str) -> list[str]:
    """Write the textfile and notify, as the job wants; returns what failed, since none of it fails the run."""
    problems = []
    if job.textfile_dir:
        try:
            metrics.write(job.textfile_dir, job.name, history.read(job.name, directory), len(results))
        except (OSError, UntrustedError) as error:
            problems.append("the metrics were not written: %s" % error)
    if job.notify:
        failed = any(result.error for result in results)
        notify.notify_users(*message(job.name, results), critical=failed)
    return problems


def message(job: str, results: Sequence[Result]) -> tuple[str, str]:
    """Heading and text of the notification."""
    errors = [result.error.message for result in results if result.error]
    if errors:
        return "Backup %s failed" % job, "\n".join(errors)
    reports = [result.report for result in results if result.report]
    disks = [report.plan.target_disk for report in reports]
    names = [" ".join(filter(None, (disk.model, disk.serial))) for disk in disks]
    described = ", ".join(name for name in names if name)
    partial = [report for report in reports if report.left_out]
    if partial:  # of one source, so the same for each target
        return "Backup disk can be disconnected", "Backup %s: %s." % (job, partial[0].copied_text(described))
    return "Backup disk can be disconnected", "The backup %s is complete%s." % (job, described and ": " + described)
