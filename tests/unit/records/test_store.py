# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records in their directory: found again, listed with what is wrong, never half written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blksync.errors import RecordError
from blksync.records import store
from blksync.records.disk_record import COMPLETE, DiskKey, DiskRecord

FIRST = DiskRecord(DiskKey("11111111", "A"), state=COMPLETE)
SECOND = DiskRecord(DiskKey("22222222", "B"))


def test_saved_record_is_found_by_its_key_alone(tmp_path: Path) -> None:
    store.save(FIRST, str(tmp_path))
    assert store.load(FIRST.key, str(tmp_path)) == FIRST
    assert store.load(SECOND.key, str(tmp_path)) is None


def test_disk_is_known_by_its_serial_though_its_wwn_is_not(tmp_path: Path) -> None:
    store.save(replace(FIRST, key=DiskKey("11111111", "A", "0x5000")), str(tmp_path))
    found = store.load(FIRST.key, str(tmp_path))
    assert found
    assert found.state == COMPLETE


def test_disk_is_found_again_whatever_bytes_its_serial_has(tmp_path: Path) -> None:
    """Else what a killed run tore would be forgotten, and the work of others be overwritten."""
    odd = DiskRecord(DiskKey("22222222", "S6\udcffX"), model="m\udcff", links=("/dev/disk/by-id/\udcff",), torn=(2,))
    store.save(odd, str(tmp_path))
    assert store.load(odd.key, str(tmp_path)) == odd
    assert store.load_all(str(tmp_path)).records == (odd,)


def test_all_are_listed_and_what_is_damaged_is_named(tmp_path: Path) -> None:
    for record in (SECOND, FIRST):
        store.save(record, str(tmp_path))
    (tmp_path / "disks" / "bad.json").write_text("{", encoding="ascii")
    (tmp_path / "disks" / ".part.json").write_text("{", encoding="ascii")
    found = store.load_all(str(tmp_path))
    assert found.records == (FIRST, SECOND)
    assert [str(tmp_path / "disks" / "bad.json") in problem for problem in found.problems] == [True]


def test_no_record_yet_is_no_problem(tmp_path: Path) -> None:
    assert store.load_all(str(tmp_path)) == store.Stored(())


def test_damaged_record_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    store.save(FIRST, str(tmp_path))
    (path,) = (tmp_path / "disks").iterdir()
    path.write_bytes(b"\xff")
    with pytest.raises(RecordError, match="cannot be understood") as caught:
        store.load(FIRST.key, str(tmp_path))
    assert "Remove it" in caught.value.hint


def test_file_in_place_of_the_directory_is_an_error_by_name(tmp_path: Path) -> None:
    (tmp_path / "disks").write_text("", encoding="ascii")
    with pytest.raises(RecordError, match="cannot be written"):
        store.save(FIRST, str(tmp_path))
