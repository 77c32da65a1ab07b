# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from blksync.report import metrics
from blksync.report.standing import DiskStanding, JobStanding

GOOD = DiskStanding(
    "travel",
    "22222222",
    "complete",
    last_success=1060.0,
    last_attempt=1000.0,
    verified=900.0,
    duration=60.5,
    bytes_written=4096,
    frozen_seconds=0.25,
)
TORN = DiskStanding("travel", "33333333", "incomplete", last_success=500.0, last_attempt=700.0)


def samples(*disks: DiskStanding, max_age: int | None = 86400) -> dict[tuple[str, str], float]:
    text = metrics.render(JobStanding("travel", "any", max_age, None, disks))
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.labels["job"] == "travel"
            key = (sample.name.removeprefix("blksync_"), sample.labels.get("disk", ""))
            assert key not in found
            found[key] = sample.value
    return found


def test_every_disk_has_its_own_values() -> None:
    found = samples(TORN, GOOD)
    assert {name: value for (name, disk), value in found.items() if disk == "22222222"} == {
        "disk_complete": 1,
        "disk_last_success_timestamp_seconds": 1060,
        "disk_last_attempt_timestamp_seconds": 1000,
        "disk_last_verified_timestamp_seconds": 900,
        "disk_running": 0,
        "disk_frozen_seconds": 0.25,
        "disk_duration_seconds": 60.5,
        "disk_written_bytes": 4096,
    }
    assert found["disk_complete", "33333333"] == 0
    assert (found["job_good", ""], found["job_max_age_seconds", ""]) == (1, 86400)


def test_disk_that_never_came_has_metrics_so_that_an_alert_can_fire() -> None:
    found = samples(DiskStanding("travel", "22222222", "never", stale=True))
    assert found["disk_last_success_timestamp_seconds", "22222222"] == 0
    assert (found["disk_complete", "22222222"], found["job_good", ""]) == (0, 0)


def test_job_without_a_limit_has_no_metric_of_it() -> None:
    assert ("job_max_age_seconds", "") not in samples(GOOD, max_age=None)


def test_running_copy_is_not_complete() -> None:
    found = samples(DiskStanding("travel", "22222222", "running"))
    assert (found["disk_running", "22222222"], found["disk_complete", "22222222"]) == (1, 0)


def test_two_disks_with_one_identifier_have_different_labels() -> None:
    twins = [DiskStanding("travel", "22222222", "complete", serial=serial) for serial in ("A", "B\udcff")]
    found = samples(*twins)
    assert {disk for _name, disk in found if disk} == {"22222222/A", "22222222/B\\xff"}
    assert metrics.render(JobStanding("travel", "any", None, None, tuple(twins))).encode("utf-8")


def test_any_text_in_a_label_survives() -> None:
    odd = '/dev/disk/by-id/"a"\\b\n'
    assert ("disk_complete", odd) in samples(DiskStanding("travel", odd, "complete"))
