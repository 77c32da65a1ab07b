# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told about each partition, from the fields of a result."""

from __future__ import annotations

from typing import Any

import pytest

from blksync.cli import results, verify
from blksync.jobs.run import Result

MIB = 1024**2
PAIR: dict[str, Any] = {
    "number": 2,
    "source": "/dev/sda2",
    "target": "/dev/sdb2",
    "size": 768 * MIB,
    "block_size": 4096,
    "blocks_total": 196608,
    "blocks_changed": 123,
    "bytes_written": 492 * 1024,
    "bytes_compared": 768 * MIB,
    "bytes_read": 1536 * MIB,
    "bytes_skipped": 0,
    "scope": {"mode": "all", "reason": None},
    "frozen_seconds": 0.0,
    "live": None,
    "quiesce": [],
    "verified": {"mode": "auto", "bytes_read": 492 * 1024},
    "notes": [],
    "seconds": 7.3,
    "complete": True,
}
FROZEN = {
    "device": "/dev/mapper/root",
    "fstype": "ext4",
    "mountpoints": ["/", "/home"],
    "action": "frozen",
    "seconds": 0.29,
    "frozen_seconds": 0.08,
}
MISSING = {"code": "tracefs_missing", "message": "tracefs is not mounted"}
LIVE: dict[str, Any] = {"used": True, "fallback": None, "iterations": 2, "dirty_bytes": [8 * MIB, 65536]}
USED: dict[str, Any] = {
    "scope": {"mode": "used", "reason": None},
    "bytes_skipped": 512 * MIB,
    "bytes_compared": 256 * MIB,
}


def report(**pair: Any) -> dict[str, Any]:
    disk = {"path": "/dev/sda", "ptuuid": "11111111", "model": None, "serial": None, "size": 1024 * MIB}
    return {
        "changed": True,
        "source": disk,
        "target": dict(disk, path="/dev/sdb", ptuuid="22222222"),
        "engine": {"name": "native", "version": "0.1.0"},
        "partitions": [{**PAIR, **pair}],
        "left_out": [],
        "bytes_written": PAIR["bytes_written"],
        "powered_off": False,
    }


def lines(check: bool = False, **pair: Any) -> list[str]:
    """The lines of the partition, without those of the disks."""
    return [line for line in results.report_lines(Result("22222222", report(**pair)), check) if line.startswith("  ")]


def test_what_was_not_asked_for_is_not_talked_about() -> None:
    assert lines() == ["  partition 2: 123 of 196608 blocks differed, 492.0 KiB written, in 7.3 s"]


def test_copied_live() -> None:
    told = lines(live=LIVE, frozen_seconds=0.08, quiesce=[FROZEN])
    assert told[1:] == [
        "    /, /home frozen for 0.3 s",
        "    copied live: frozen for 0.08 s in all, 2 iterations (8.0 MiB, 64.0 KiB)",
    ]


def test_one_iteration_and_a_longer_freeze() -> None:
    told = lines(live=dict(LIVE, iterations=1, dirty_bytes=[4096]), frozen_seconds=1.26)
    assert told[1:] == ["    copied live: frozen for 1.3 s in all, 1 iteration (4.0 KiB)"]


def test_not_copied_live_says_why() -> None:
    live = {"used": False, "fallback": MISSING, "iterations": 0, "dirty_bytes": []}
    assert lines(live=live, frozen_seconds=20.1)[1:] == ["    not copied live: tracefs is not mounted"]


def test_live_that_ended_before_anything_was_decided() -> None:
    live = {"used": False, "fallback": None, "iterations": 0, "dirty_bytes": []}
    assert lines(live=live, complete=False)[1:] == []


@pytest.mark.parametrize("check", [False, True])
def test_used_blocks_only(check: bool) -> None:
    assert lines(check, **USED)[1:] == ["    scope used: 512.0 MiB free, not looked at"]


def test_copied_whole_though_used_was_asked_for() -> None:
    scope = {"mode": "all", "reason": {"code": "unsupported", "message": "vfat does not report which blocks it uses"}}
    assert lines(scope=scope)[1:] == ["    scope all: vfat does not report which blocks it uses"]


def test_what_was_skipped_is_not_missing_from_a_copy_that_ended_early() -> None:
    told = lines(**{**USED, "bytes_compared": 64 * MIB, "complete": False})
    assert told[0] == "  partition 2: not finished: 64.0 MiB of 256.0 MiB compared, 492.0 KiB written"


HOME: dict[str, Any] = {
    "number": 3,
    "path": "/dev/sda3",
    "size": 64 * MIB,
    "fstype": "ext4",
    "label": None,
    "mountpoints": ["/home"],
}


PARTLY = "Partition 2 is complete; partition 3 (/home, 64.0 MiB) was not copied."


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({}, "The backup disk is complete and can be disconnected."),
        ({"powered_off": True}, "The backup disk is powered off and can be disconnected."),
        ({"left_out": [HOME]}, f"{PARTLY} The disk can be disconnected."),
        ({"left_out": [HOME], "powered_off": True}, f"{PARTLY} The disk is powered off and can be disconnected."),
    ],
)
def test_the_whole_is_spoken_of_only_if_all_was_copied(options: dict[str, Any], last: str) -> None:
    told = results.report_lines(Result("22222222", {**report(), **options}), check=False)
    assert told[-1] == last


def test_a_check_names_what_is_left_out() -> None:
    told = results.report_lines(Result("22222222", {**report(), "left_out": [HOME]}), check=True)
    assert told[-1] == "  partition 3 (/home, 64.0 MiB): left out"


def test_verify_names_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    verify._tell(Result("22222222", {**report(), "left_out": [HOME]}), frozenset())
    assert capsys.readouterr().out.splitlines()[-1] == "  partition 3 (/home, 64.0 MiB): left out"


def test_verify_claims_no_more_than_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    verify._tell(Result("22222222", report(blocks_changed=0, **USED)), frozenset())
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  partition 2: equal, 256.0 MiB compared",
        "    scope used: 512.0 MiB free, not looked at",
    ]
