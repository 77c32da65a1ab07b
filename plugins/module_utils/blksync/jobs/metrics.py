# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the metrics of a job for the textfile collector of node_exporter: one file a job, blksync_NAME.prom."""

from __future__ import annotations

import os
from typing import Sequence

from ..system import atomic_file
from .history import Run
from .status import last_success

# Name and help; every metric is a gauge with the label job.
_LAST_SUCCESS = ("blksync_last_success_timestamp_seconds", "When the last successful run ended, 0 for never.")
_SUCCEEDED = ("blksync_last_run_success", "Whether the last run succeeded on every backup disk that was there.")
_DURATION = ("blksync_last_duration_seconds", "How long the last run took.")
_WRITTEN = ("blksync_last_written_bytes", "How much the last run wrote to backup disks.")


def write(directory: str, job: str, runs: Sequence[Run], latest: int) -> None:
    """Write the job's file in one step; ``latest`` is how many of ``runs`` the last run added.

    Raises OSError, UntrustedError.
    """
    atomic_file.replace(os.path.join(directory, "blksync_%s.prom" % job), render(job, runs, latest))


def render(job: str, runs: Sequence[Run], latest: int) -> str:
    """The metrics in Prometheus' text format."""
    last = runs[len(runs) - latest :]
    success = last_success(runs)
    values = (
        (_LAST_SUCCESS, (success.end or 0) if success else 0),
        (_SUCCEEDED, int(bool(last) and all(run.succeeded for run in last))),
        (_DURATION, sum(run.duration or 0 for run in last)),
        (_WRITTEN, sum(run.bytes_written for run in last)),
    )
    return "".join(
        '# HELP %s %s\n# TYPE %s gauge\n%s{job="%s"} %s\n' % (name, text, name, name, job, repr(value))
        for (name, text), value in values
    )
