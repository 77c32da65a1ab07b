# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown to a person about each partition, from a report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blksync.cli import results, verify
from blksync.discovery.model import Partition
from blksync.errors import Reason, Refusal, RefusedError
from blksync.jobs.run import Result
from blksync.quiesce.step import StepReport
from blksync.sync.result import LiveReport, SyncReport
from tests.support.machines import disk, mount, partition
from tests.support.reports import sync_report

MIB = 1024**2
SIZE = 768 * MIB
PAIR: dict[str, Any] = {
    "block_size": 4096,
    "blocks_total": 196608,
    "blocks_changed": 123,
    "bytes_written": 492 * 1024,
    "bytes_compared": SIZE,
    "bytes_read": 1536 * MIB,
    "bytes_verified": 492 * 1024,
    "seconds": 7.3,
    "complete": True,
}
FROZEN = StepReport("/dev/mapper/root", "ext4", ["/", "/home"], "frozen", 0.29, 0.08)
USED: dict[str, Any] = {"scope": "used", "bytes_skipped": 512 * MIB, "bytes_compared": 256 * MIB}
ROOT = partition("sda", 2, 8, size=SIZE)
HOME = partition("sda", 3, 8, mounts=(mount("8:3", "/home"),))


def report(*more: Partition, powered_off: bool = False, **pair: Any) -> SyncReport:
    """A sync of the second partition; the source has ``more`` partitions."""
    made = sync_report({**PAIR, **pair}, source=disk("sda", 8, "11111111", ROOT, *more))
    made.powered_off = powered_off
    return made


def lines(check: bool = False, **pair: Any) -> list[str]:
    """The lines of the partition, without those of the disks."""
    return [line for line in results.report_lines(Result("22222222", report(**pair)), check) if line.startswith("  ")]


def frozen(seconds: float) -> list[StepReport]:
    return [replace(FROZEN, frozen_seconds=seconds)]


def test_what_was_not_asked_for_is_not_talked_about() -> None:
    assert lines() == ["  partition 2: 123 of 196608 blocks differed, 492.0 KiB written, in 7.3 s"]


def test_copied_live() -> None:
    shown = lines(live=LiveReport(True, None, [8 * MIB, 65536]), quiesce=[FROZEN])
    assert shown[1:] == [
        "    /, /home frozen for 0.3 s",
        "    copied live: frozen for 0.08 s in all, 2 iterations (8.0 MiB, 64.0 KiB)",
    ]


def test_one_iteration_and_a_longer_freeze() -> None:
    shown = lines(live=LiveReport(True, None, [4096]), quiesce=frozen(1.26))
    assert shown[2:] == ["    copied live: frozen for 1.3 s in all, 1 iteration (4.0 KiB)"]


def test_not_copied_live_says_why() -> None:
    live = LiveReport(fallback=Reason("tracefs_missing", "tracefs is not mounted"))
    assert lines(live=live, quiesce=frozen(20.1))[2:] == ["    not copied live: tracefs is not mounted"]


def test_live_that_ended_before_anything_was_decided() -> None:
    assert lines(live=LiveReport(), complete=False)[1:] == []


@pytest.mark.parametrize("check", [False, True])
def test_used_blocks_only(check: bool) -> None:
    assert lines(check, **USED)[1:] == ["    scope used: 512.0 MiB free, not looked at"]


def test_copied_whole_though_used_was_asked_for() -> None:
    reason = Reason("unsupported", "vfat does not report which blocks it uses")
    assert lines(scope_reason=reason)[1:] == ["    scope all: vfat does not report which blocks it uses"]


def test_what_was_skipped_is_not_missing_from_a_copy_that_ended_early() -> None:
    shown = lines(**{**USED, "bytes_compared": 64 * MIB, "complete": False})
    assert shown[0] == "  partition 2: not finished: 64.0 MiB of 256.0 MiB compared, 492.0 KiB written"


PARTLY = "Partition 2 is complete; partition 3 (/home, 64.0 MiB) was not copied."


@pytest.mark.parametrize(
    ("more", "powered_off", "last"),
    [
        ((), False, "The backup disk is complete and can be disconnected."),
        ((), True, "The backup disk is powered off and can be disconnected."),
        ((HOME,), False, f"{PARTLY} The disk can be disconnected."),
        ((HOME,), True, f"{PARTLY} The disk is powered off and can be disconnected."),
    ],
)
def test_the_whole_is_spoken_of_only_if_all_was_copied(
    more: tuple[Partition, ...], powered_off: bool, last: str
) -> None:
    shown = results.report_lines(Result("22222222", report(*more, powered_off=powered_off)), check=False)
    assert shown[-1] == last


def test_a_check_names_what_is_left_out() -> None:
    shown = results.report_lines(Result("22222222", report(HOME)), check=True)
    assert shown[-1] == "  partition 3 (/home, 64.0 MiB): left out"


def test_verify_names_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    verify._show(Result("22222222", report(HOME)), frozenset())
    assert capsys.readouterr().out.splitlines()[-1] == "  partition 3 (/home, 64.0 MiB): left out"


def test_verify_claims_no_more_than_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    verify._show(Result("22222222", report(blocks_changed=0, **USED)), frozenset())
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  partition 2: equal, 256.0 MiB compared",
        "    scope used: 512.0 MiB free, not looked at",
    ]


def test_json_has_the_documented_result_or_the_error_alone() -> None:
    refused = RefusedError((Refusal("same_disk", "One disk.", "Name two."),))
    data = results.as_data((Result("22222222", report()), Result("33333333", None, refused)), False, None)
    assert data["changed"] is True
    assert data["results"][0] == {"identifier": "22222222", "error": None, **report().as_dict()}
    assert set(data["results"][1]) == {"identifier", "error"}
    assert data["results"][1]["error"]["refusals"] == [
        {"code": "same_disk", "message": "One disk.", "hint": "Name two."}
    ]
