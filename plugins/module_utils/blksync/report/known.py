# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Looks at the records and the machine, and writes what is said of a job for node_exporter."""

from __future__ import annotations

import os
import time

from ..discovery.model import Machine
from ..jobs.config import Job
from ..quiesce import recovery
from ..records import progress, store
from ..records.disk_record import DiskRecord
from ..records.store import Stored
from ..system import atomic_file
from ..system.processes import is_alive_now
from . import metrics
from .standing import Known, assess


def look(stored: Stored, machine: Machine | None = None) -> Known:
    """What is known now; ``machine`` has the disks that are plugged in, None if nobody looked."""
    return Known(stored.records, time.time(), _is_running, machine, recovery.has_leftovers(), progress.read)


def write_metrics(job: Job, state_dir: str = "", machine: Machine | None = None) -> None:
    """Replace the metrics of a job that wants them; ``machine`` as for look(). Raises OSError, UntrustedError."""
    if job.textfile_dir:
        text = metrics.render(assess(job, look(store.load_all(state_dir), machine)))
        atomic_file.replace(os.path.join(job.textfile_dir, "blksync_%s.prom" % job.name), text)


def _is_running(record: DiskRecord) -> bool:
    return record.process is not None and is_alive_now(record.process)
