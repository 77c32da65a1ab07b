# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How disks stand at a fixed moment: never better than their records say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from blksync.discovery.model import Disk, Machine
from blksync.jobs.config import Job, parse
from blksync.records.disk_record import CHANGED_ELSEWHERE, COMPLETE, INCOMPLETE, STATES, UNKNOWN, DiskKey, DiskRecord
from blksync.records.run import Run
from blksync.report.standing import DiskStanding, Known, all_good, assess, others

NOW = 1_700_000_000.0
DAY = 86400.0
A, B = DiskKey("22222222", "SERIAL-A"), DiskKey("33333333", "SERIAL-B")


def job(**options: Any) -> Job:
    targets = [{"identifier": "22222222"}, {"identifier": "33333333"}]
    content = {"version": 1, "name": "travel", "source": "11111111", "targets": targets, "max_age": int(DAY)}
    return parse(json.dumps({**content, **options}), "test")


def success(age: float) -> Run:
    return Run(NOW - age - 100, "disk_sync", "22222222", end=NOW - age, duration=100.0, bytes_written=4096)


def complete(key: DiskKey = A, age: float = 10.0) -> DiskRecord:
    return DiskRecord(key, state=COMPLETE, last_success=success(age), last_attempt=success(age))


def killed(record: DiskRecord) -> DiskRecord:
    return replace(record, state=INCOMPLETE, last_attempt=Run(NOW - 50, "disk_sync", "22222222"))


def known(*records: DiskRecord, running: bool = False, **facts: Any) -> Known:
    return Known(records, NOW, lambda _record: running, **facts)


def only(standing_of: Job, facts: Known) -> DiskStanding:
    (disk,) = assess(standing_of, facts).disks
    return disk


ONE = {"targets": [{"identifier": "22222222"}]}


@pytest.mark.parametrize("state", STATES)
def test_state_is_that_of_the_record_and_only_complete_is_good(state: str) -> None:
    disk = only(job(**ONE), known(replace(complete(), state=state)))
    assert (disk.state, disk.good) == (state, state == COMPLETE)


def test_disk_that_was_never_copied_to_is_listed_and_not_good() -> None:
    disk = only(job(**ONE), known())
    assert (disk.state, disk.good, disk.last_success) == ("never", False, None)
    assert disk.next_step == "Nothing was ever copied to it: plug the disk in and run blksync sync travel."


@pytest.mark.parametrize("age", [0.0, 10.0, DAY, 99 * DAY])
def test_run_that_has_not_ended_is_running_or_was_killed(age: float) -> None:
    record = killed(complete(age=age))
    assert only(job(**ONE), known(record, running=True)).state == "running"
    disk = only(job(**ONE), known(record))
    assert (disk.state, disk.good) == ("interrupted", False)
    assert "no backup now" in disk.next_step
    assert "restore-state" in only(job(**ONE), known(record, leftovers=True)).next_step


@pytest.mark.parametrize(
    ("age", "max_age", "stale"), [(DAY, DAY, False), (DAY + 1, DAY, True), (9 * DAY, None, False), (-1, None, True)]
)
def test_age_is_that_of_the_last_success(age: float, max_age: float | None, stale: bool) -> None:
    disk = only(job(**ONE, max_age=max_age and int(max_age)), known(complete(age=age)))
    assert (disk.stale, disk.good, disk.age) == (stale, not stale, max(age, 0))


def test_success_in_the_future_is_said_to_be_wrong() -> None:
    disk = only(job(**ONE), known(complete(age=-3600)))
    assert (disk.in_future, disk.stale, disk.good) == (True, True, False)
    assert "dated in the future" in disk.next_step


@pytest.mark.parametrize(
    ("require", "first", "second", "good"),
    [
        ("any", complete(A), complete(B), True),
        ("any", complete(A), killed(complete(B)), True),
        ("any", complete(A, 9 * DAY), complete(B, 9 * DAY), False),
        ("all", complete(A), complete(B), True),
        ("all", complete(A), killed(complete(B)), False),
        ("all", complete(A), complete(B, 9 * DAY), False),
        ("all", complete(A), None, False),
        ("any", None, None, False),
    ],
)
def test_job_needs_any_or_all_of_its_disks(
    require: str, first: DiskRecord | None, second: DiskRecord | None, good: bool
) -> None:
    records = [record for record in (first, second) if record]
    standing = assess(job(require=require), known(*records))
    assert standing.good is good
    assert assess(job(require=require), known(*reversed(records))).good is good


@pytest.mark.parametrize("order", [1, -1])
def test_worst_disk_comes_first_whatever_the_order(order: int) -> None:
    records = [complete(A), replace(complete(B), state=INCOMPLETE)][::order]
    assert [disk.state for disk in assess(job(), known(*records)).disks] == [INCOMPLETE, COMPLETE]


def test_disk_that_lacks_a_partition_of_the_job_is_incomplete() -> None:
    record = replace(complete(), copied={"1": NOW - 10})
    disk = only(job(**ONE), known(record))
    assert (disk.state, disk.lacking, disk.good) == (INCOMPLETE, (2,), False)
    assert disk.next_step.startswith("Partition 2 has no complete copy: ")
    assert only(job(**ONE, partitions=[1]), known(record)).good
    assert only(job(**ONE, partitions="all"), known(record)).good


def test_success_counts_from_the_oldest_partition_of_the_job() -> None:
    record = replace(complete(), copied={"1": NOW - 10, "2": NOW - 2 * DAY, "3": NOW - 9 * DAY})
    assert only(job(**ONE), known(record)).age == 2 * DAY
    assert only(job(**ONE, partitions=[1]), known(record)).age == 10
    assert only(job(**ONE, partitions="all"), known(record)).age == 9 * DAY


@pytest.mark.parametrize(
    ("source", "copied", "state"),
    [
        ("11111111", "11111111", COMPLETE),
        ("0x11111111", "11111111", COMPLETE),
        ("11111111", "99999999", UNKNOWN),
        ("11111111", None, COMPLETE),
        ("serial:MAIN", "99999999", COMPLETE),
    ],
)
def test_copy_of_another_disk_is_no_backup_of_the_job(source: str, copied: str | None, state: str) -> None:
    record = replace(complete(), last_success=replace(success(10), source=copied))
    disk = only(job(**ONE, source=source), known(record))
    assert (disk.state, disk.good) == (state, state == COMPLETE)


def test_torn_namesake_of_a_good_disk_is_listed_too() -> None:
    twin = replace(killed(complete(DiskKey("22222222", "SERIAL-C"), age=DAY)), last_attempt=Run(1.0, "disk_sync", "x"))
    facts = known(complete(A), twin)
    assert only(job(**ONE), facts).serial == "SERIAL-A"
    assert [(disk.serial, disk.state) for disk in others([job(**ONE)], facts)] == [("SERIAL-C", "interrupted")]


def test_serial_of_a_target_tells_two_disks_with_one_identifier_apart() -> None:
    twin = replace(complete(DiskKey("22222222", "SERIAL-C")), state=INCOMPLETE)
    pinned = job(targets=[{"identifier": "22222222", "serial": "SERIAL-A"}])
    assert only(pinned, known(complete(A), twin)).state == COMPLETE
    assert only(pinned, known(twin)).state == "never"


def test_of_several_disks_that_a_target_could_mean_the_last_one_counts() -> None:
    older = replace(complete(DiskKey("22222222", "SERIAL-C"), age=5 * DAY), state=INCOMPLETE)
    assert only(job(**ONE), known(complete(A), older)).state == COMPLETE


@pytest.mark.parametrize("identifier", ["22222222", "serial:SERIAL-A", "/dev/disk/by-id/usb-a"])
def test_disk_is_found_by_any_identifier_after_it_was_unplugged(identifier: str) -> None:
    record = replace(complete(), links=("/dev/disk/by-id/usb-a",))
    assert only(job(targets=[{"identifier": identifier}]), known(record)).good


def test_disks_of_no_job_are_listed_apart() -> None:
    (disk,) = others([job(**ONE)], known(complete(A), complete(B)))
    assert (disk.ptuuid, disk.job, disk.state) == ("33333333", "", COMPLETE)


def test_without_jobs_one_good_disk_is_enough() -> None:
    good, torn = others([], known(complete(A))), others([], known(killed(complete(A))))
    assert [all_good([], disks) for disks in ((), good, torn, (*torn, *good))] == [True, True, False, True]


def test_disks_of_no_job_do_not_count_beside_jobs() -> None:
    facts = known(complete(A), killed(complete(B)))
    wanted = job(**ONE)
    assert all_good([assess(wanted, facts)], others([wanted], facts))
    assert not all_good([assess(wanted, known())], others([], known(complete(B))))


def test_next_step_knows_whether_the_disk_is_plugged_in() -> None:
    plugged = Machine((Disk("sdb", "/dev/sdb", "8:16", 1, ptuuid="22222222", serial="SERIAL-A"),))
    record = replace(complete(), state=CHANGED_ELSEWHERE)
    here = only(job(**ONE), known(record, machine=plugged))
    assert here.plugged_in
    assert here.next_step.endswith("then run blksync sync travel --discard-changes.")
    away = only(job(**ONE), known(record, machine=Machine(())))
    assert away.plugged_in is False
    assert "plug the disk in" in away.next_step


@pytest.mark.parametrize(
    ("ptuuid", "serial", "state"),
    [
        ("22222222", "SERIAL-A", COMPLETE),
        ("22222222", None, COMPLETE),
        (None, "SERIAL-A", COMPLETE),
        ("44444444", "SERIAL-A", "never"),
        (None, "SERIAL-B", COMPLETE),
    ],
)
def test_disk_that_was_partitioned_anew_is_no_backup(ptuuid: str | None, serial: str | None, state: str) -> None:
    plugged = Machine((Disk("sdb", "/dev/sdb", "8:16", 1, ptuuid=ptuuid, serial=serial),))
    of_serial = job(targets=[{"identifier": "serial:SERIAL-A"}])
    assert only(of_serial, known(complete(A), machine=plugged)).state == state


@pytest.mark.parametrize("state", [*STATES, "never"])
def test_every_state_but_a_good_one_says_what_to_do(state: str) -> None:
    records = () if state == "never" else (replace(complete(), state=state),)
    disk = only(job(**ONE), known(*records))
    assert bool(disk.next_step) is (state != COMPLETE)
    assert (state == UNKNOWN) is ("Something else" in disk.next_step)


def test_standing_is_data_with_moments_as_text() -> None:
    data = assess(job(), known(complete())).as_dict()
    assert json.loads(json.dumps(data)) == data
    first = data["disks"][0]
    assert (first["state"], first["good"], data["good"]) == ("never", False, True)
    assert data["disks"][1]["last_success"] == "2023-11-14T22:13:10+00:00"
