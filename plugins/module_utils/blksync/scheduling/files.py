# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which files belong to a job, and what is in them. Pure.

The settings of a job's service are the mark of a job that this package has made: they are written first and removed
last. Jobs without them were written by hand, and are left alone.
"""

from __future__ import annotations

import json
import os
import posixpath
from dataclasses import dataclass

from ..jobs.config import SUFFIX
from ..paths import JOB_DIR
from . import udev_rules, units
from .jobs import ScheduledJob

MARK = "50-backup-disk.conf"
STATUS_SETTINGS = "blksync-status.service.d"
COMMON_RULES = "90-blksync.rules"


@dataclass(frozen=True)
class Places:
    """The directories of job files, units, udev rules and the stamps of persistent timers."""

    jobs: str = JOB_DIR
    units: str = "/etc/systemd/system"
    rules: str = "/etc/udev/rules.d"
    stamps: str = "/var/lib/systemd/timers"

    def mark(self, name: str) -> str:
        """The settings of a job's service."""
        return os.path.join(self.units, "blksync@%s.service.d" % name, MARK)

    def timer(self, name: str) -> str:
        """The timer of a job."""
        return os.path.join(self.units, "blksync@%s.timer" % name)

    def job(self, name: str) -> str:
        """The file of a job."""
        return os.path.join(self.jobs, name + SUFFIX)

    def metrics(self, name: str) -> str:
        """The link to the metrics of a job, which says where they are when the job is removed."""
        return os.path.join(self.jobs, name + ".prom")

    def metrics_settings(self, name: str) -> str:
        """What lets the service of all metrics write those of a job."""
        return os.path.join(self.units, STATUS_SETTINGS, "job-%s.conf" % name)

    def job_rules(self, name: str) -> str:
        """The udev rules of a job."""
        return os.path.join(self.rules, "91-blksync-%s.rules" % name)

    def common_rules(self) -> str:
        """The udev rules that come before those of all jobs."""
        return os.path.join(self.rules, COMMON_RULES)

    def all_of(self, name: str) -> tuple[str, ...]:
        """Every file that a job may have, in the order in which they are made."""
        return (
            self.mark(name),
            self.job(name),
            self.metrics(name),
            self.metrics_settings(name),
            self.timer(name),
            self.job_rules(name),
        )

    def traces_of_timer(self, name: str) -> tuple[str, ...]:
        """What systemd makes for a timer: the link of an enabled one, and the time of its last run."""
        timer = os.path.basename(self.timer(name))
        wants = os.path.join(self.units, "timers.target.wants", timer)
        return wants, os.path.join(self.stamps, "stamp-" + timer)


PLACES = Places()


def links_of(job: ScheduledJob, places: Places) -> dict[str, str]:
    """The symbolic links of a job, and where they lead."""
    directory = job.job.textfile_dir
    return {places.metrics(job.name): posixpath.join(directory, metrics_name(job.name))} if directory else {}


def metrics_name(name: str) -> str:
    """The name of the file with a job's metrics (see ``report.metrics``)."""
    return "blksync_%s.prom" % name


def files_of(job: ScheduledJob, places: Places, header: str, random_delay: str) -> dict[str, str]:
    """The content of each file of a job. ``header`` becomes a comment in those that can have one."""
    head = units.comment(header)
    content = {
        places.mark(job.name): head + units.service_settings(job.on_success, job.on_failure),
        places.job(job.name): json.dumps(job.content, indent=4, sort_keys=True, ensure_ascii=False) + "\n",
        places.job_rules(job.name): head + udev_rules.of_job(job),
    }
    if job.schedule:
        content[places.timer(job.name)] = head + units.timer(job.name, job.schedule, random_delay)
    if job.job.textfile_dir:
        content[places.metrics_settings(job.name)] = head + units.metrics_settings(job.job.textfile_dir)
    return content
