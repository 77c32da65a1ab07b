# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record is never better than the truth, whatever ends a run and whenever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blksync.discovery.model import Disk
from blksync.records import disk_record
from blksync.records.disk_record import (
    CHANGED_ELSEWHERE,
    COMPLETE,
    INCOMPLETE,
    STATES,
    UNKNOWN,
    DiskKey,
    DiskRecord,
    begun,
    ended,
    found_changed,
    from_text,
    key_of,
    to_text,
)
from blksync.records.run import PairRun, Run

DISK = Disk("sdb", "/dev/sdb", "8:16", 1 << 30, ptuuid="22222222", serial="S6XNNS0T", model="T7", links=("/dev/x",))
KEY = DiskKey("22222222", "S6XNNS0T")
BEGUN = Run(1000.0, "disk_sync", "22222222")
GOOD = replace(BEGUN, end=1010.0, duration=10.0, wrote=True, changed=True, bytes_written=4096)
EQUAL = replace(GOOD, wrote=False, changed=False, bytes_written=0)
REFUSED = replace(BEGUN, end=1001.0, error_kind="quiesce", error_message="Cannot freeze.")
TORN = replace(REFUSED, wrote=True)


@pytest.mark.parametrize("state", STATES)
def test_disk_is_incomplete_from_before_the_first_write(state: str) -> None:
    record = begun(DiskRecord(KEY, state=state), DISK, BEGUN)
    assert (record.state, record.before, record.last_attempt) == (INCOMPLETE, state, BEGUN)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("run", "complete", "after"),
    [
        (GOOD, True, lambda _before: COMPLETE),
        (EQUAL, True, lambda _before: COMPLETE),
        (GOOD, False, lambda _before: UNKNOWN),
        (EQUAL, False, lambda before: before),
        (REFUSED, True, lambda before: before),
        (TORN, True, lambda _before: INCOMPLETE),
        (TORN, False, lambda _before: INCOMPLETE),
    ],
)
def test_state_after_a_run_says_what_the_run_did(state, run, complete, after) -> None:
    record = ended(begun(DiskRecord(KEY, state=state), DISK, BEGUN), run, {"1": "aa"}, complete)
    assert (record.state, record.last_attempt) == (after(state), run)
    assert record.last_success == (run if record.state == COMPLETE and run.succeeded and complete else None)


def test_killed_run_leaves_incomplete_and_so_does_a_refused_one_after_it() -> None:
    killed = begun(DiskRecord(KEY, state=COMPLETE), DISK, BEGUN)
    again = begun(killed, DISK, BEGUN)
    assert ended(again, REFUSED, None).state == INCOMPLETE


def test_what_was_written_over_has_no_signature_any_more() -> None:
    complete = ended(begun(None, DISK, BEGUN), GOOD, {"1": "aa"})
    assert complete.signatures == {"1": "aa"}
    assert ended(begun(complete, DISK, BEGUN), REFUSED, None).signatures == {"1": "aa"}
    assert ended(begun(complete, DISK, BEGUN), TORN, None).signatures is None


def test_change_elsewhere_stays_known_until_a_success() -> None:
    changed = found_changed(ended(begun(None, DISK, BEGUN), GOOD, {"1": "aa"}))
    assert changed.state == CHANGED_ELSEWHERE
    assert ended(begun(changed, DISK, BEGUN), REFUSED, None).state == CHANGED_ELSEWHERE
    assert ended(begun(changed, DISK, BEGUN), GOOD, {}).state == COMPLETE


def test_record_survives_its_file_whatever_it_holds() -> None:
    record = ended(
        begun(None, DISK, BEGUN), replace(GOOD, partitions=(PairRun(1, 2, 8192, True),), left_out=("3",)), {"1": "aa"}
    )
    record = replace(record, verified=2000.0, boot_tested=3000.0)
    assert from_text(to_text(record)) == record
    assert from_text(to_text(begun(None, DISK, BEGUN))) == begun(None, DISK, BEGUN)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"format": 2}', to_text(DiskRecord(KEY)).replace("unknown", "fine")],
)
def test_anything_else_in_the_file_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text)


def test_disk_is_the_one_of_its_table_and_its_serial_or_wwn() -> None:
    assert key_of(DISK) == KEY
    assert key_of(replace(DISK, serial=None, wwn="0x5000")) == DiskKey("22222222", "", "0x5000")
    assert key_of(replace(DISK, ptuuid=None)) is None


def test_each_key_has_a_file_name_of_its_own() -> None:
    keys = [
        KEY,
        DiskKey("22222222"),
        DiskKey("22222222", "S6/XN"),
        DiskKey("22222222", "S6_XN"),
        DiskKey("22222222", "S6 XN"),
        DiskKey("22222222", "x" * 200),
        DiskKey("22222222", "x" * 201),
        DiskKey("..", ""),
        DiskKey("22222222", "ä\udcff"),
    ]
    names = {key.name for key in keys}
    assert len(names) == len(keys)
    assert all("/" not in name and not name.startswith(".") and len(name) < 200 and name.isascii() for name in names)
    assert KEY.name == "22222222-S6XNNS0T"


def test_record_can_be_compared_as_the_disk_it_was() -> None:
    disk = begun(None, DISK, BEGUN).as_disk()
    assert (disk.ptuuid, disk.serial, disk.links, disk.size) == (DISK.ptuuid, DISK.serial, DISK.links, DISK.size)
    assert disk_record.key_of(disk) == KEY
