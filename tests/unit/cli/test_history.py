# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as a table, and those of one disk or job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blksync.cli.history import is_of, table
from blksync.records.run import Run

RUN = Run(1000.0, "disk_sync", "serial:S6XNNS0T", "command", "travel", end=1060.0, duration=60.0, ptuuid="22222222")
RUN = replace(RUN, serial="S6XNNS0T", changed=True, wrote=True, bytes_written=4096)


@pytest.mark.parametrize("name", ["travel", "22222222", "0x22222222", "serial:S6XNNS0T"])
def test_runs_are_found_by_job_and_by_any_identifier(name: str) -> None:
    assert is_of(name, RUN)


@pytest.mark.parametrize("name", ["archive", "33333333", "serial:OTHER", "no such thing", ""])
def test_runs_of_others_are_not_found(name: str) -> None:
    assert not is_of(name, RUN)


@pytest.mark.parametrize(
    ("run", "result"),
    [
        (RUN, "changed"),
        (replace(RUN, changed=False), "unchanged"),
        (replace(RUN, error_kind="refused", error_message="No.", wrote=False), "failed"),
        (replace(RUN, error_kind="write_error", error_message="No."), "failed, disk incomplete"),
        (replace(RUN, error_kind="interrupted", error_message="Killed.", end=None, duration=None), "killed"),
    ],
)
def test_result_of_a_run_says_whether_the_disk_is_torn(run: Run, result: str) -> None:
    lines = table([run])
    assert "  %s  " % result in lines[1]
    assert lines[2:] == (["    %s" % run.error_message] if run.error_message else [])
