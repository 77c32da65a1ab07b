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
    NEVER,
    STATES,
    UNKNOWN,
    DiskKey,
    DiskRecord,
    begun,
    compared,
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


def of(run: Run, *numbers: int) -> Run:
    return replace(run, partitions=tuple(PairRun(number, 1, 4096, True) for number in numbers))


def both(state: str = COMPLETE) -> DiskRecord:
    record = ended(begun(None, DISK, of(BEGUN, 1, 2)), of(GOOD, 1, 2), {"1": "aa", "2": "bb"})
    return replace(record, state=state, before=state)


def test_torn_partition_is_not_mended_by_a_copy_of_another() -> None:
    torn = ended(begun(both(), DISK, of(BEGUN, 2)), of(TORN, 2), None)
    assert (torn.state, torn.torn, torn.trusted) == (INCOMPLETE, (2,), {"1": "aa"})
    again = ended(begun(torn, DISK, of(BEGUN, 1)), of(GOOD, 1), {"1": "cc"})
    assert (again.state, again.torn, again.trusted) == (INCOMPLETE, (2,), {"1": "cc"})
    mended = ended(begun(again, DISK, of(BEGUN, 2)), of(GOOD, 2), {"2": "dd"})
    assert (mended.state, mended.torn, mended.trusted) == (COMPLETE, (), {"1": "cc", "2": "dd"})


def test_partition_of_a_killed_run_is_in_doubt_until_it_is_copied() -> None:
    killed = begun(both(), DISK, of(BEGUN, 2))
    assert killed.trusted == {"1": "aa"}
    again = ended(begun(killed, DISK, of(BEGUN, 1)), of(GOOD, 1), {"1": "cc"})
    assert (again.state, again.torn) == (INCOMPLETE, (2,))
    assert ended(begun(again, DISK, of(BEGUN, 1, 2)), of(GOOD, 1, 2), {}).state == COMPLETE


def test_image_may_have_written_to_all_partitions() -> None:
    over = ended(begun(both(), DISK, BEGUN), of(GOOD, 0), None, complete=False)
    assert (over.state, over.torn, over.signatures) == (UNKNOWN, (1, 2), None)
    part = ended(begun(over, DISK, of(BEGUN, 1)), of(GOOD, 1), {"1": "cc"})
    assert (part.state, part.torn) == (UNKNOWN, (2,))


def test_change_elsewhere_stays_known_after_a_copy_of_a_part() -> None:
    changed = both(CHANGED_ELSEWHERE)
    part = ended(begun(changed, DISK, of(BEGUN, 1)), of(GOOD, 1), {"1": "cc"})
    assert part.state == CHANGED_ELSEWHERE
    assert ended(begun(part, DISK, of(BEGUN, 1, 2)), of(GOOD, 1, 2), {}).state == COMPLETE


def test_disk_is_as_old_as_the_oldest_copy_of_a_partition() -> None:
    later = ended(begun(both(), DISK, of(BEGUN, 1)), replace(of(GOOD, 1), end=5000.0), {"1": "cc"})
    assert (later.as_of(), later.as_of([1]), later.as_of([2])) == (1010.0, 5000.0, 1010.0)
    assert both().as_of([1, 3]) == 1010.0


def test_comparison_of_a_part_does_not_verify_the_disk() -> None:
    assert compared(both(), GOOD, [1]).verified is None
    assert compared(both(), GOOD, [1, 2]).verified == GOOD.end


def test_disk_to_which_nothing_was_written_was_never_copied_to() -> None:
    assert ended(begun(None, DISK, of(BEGUN, 1, 2)), REFUSED, None).state == NEVER


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
    ["", "{", "[]", "null", "{}", '{"format": 2}', to_text(DiskRecord(KEY)).replace("never", "fine")],
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
