# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What blksync sync shows before it asks, and what counts as a yes."""

from __future__ import annotations

import io

import pytest

from blksync.cli import question
from blksync.errors import Refusal
from blksync.options import SyncRequest
from blksync.sync import disk_plan
from blksync.sync.proposal import Proposal
from tests.support.machines import MIB, disk, machine, mount, partition

MACHINE = machine(
    disk(
        "sda",
        8,
        "11111111",
        partition("sda", 1, 8),
        partition("sda", 2, 8, mounts=(mount("8:2", "/"),)),
        partition("sda", 3, 8, size=20 * MIB, mounts=(mount("8:3", "/home", mount_id=41),)),
    ),
    disk("sdb", 9, "22222222", partition("sdb", 1, 9), partition("sdb", 2, 9, fstype="ext4", label="old"), model=None),
)
PLAN = disk_plan.make(MACHINE, SyncRequest("11111111", "22222222", quiesce="freeze"))
CHANGED = Refusal("target_changed_elsewhere", "Somebody changed the backup disk /dev/sdb.", "Run with a flag.")


def test_the_plan_as_it_is_shown() -> None:
    assert PLAN.refusals == ()
    assert question.lines(Proposal(PLAN)) == [
        "             DISK      SIZE        PTUUID    MODEL      SERIAL      MOUNTED",
        "main disk    /dev/sda  1000.0 MiB  11111111  Model sda  SERIAL-sda  /, /home",
        "backup disk  /dev/sdb  1000.0 MiB  22222222  -          SERIAL-sdb  -",
        "",
        "On /dev/sdb at most 128.0 MiB are overwritten:",
        "  partition 1: 64.0 MiB",
        '  partition 2: 64.0 MiB, now ext4 "old"',
        "Of /dev/sda these are not copied:",
        "  partition 3 (/home, 20.0 MiB)",
        "",
    ]


def test_changes_of_others_are_shown_without_the_flag_that_a_yes_replaces() -> None:
    lines = question.lines(Proposal(PLAN, (CHANGED,)))
    assert lines[-3:] == ["", "Somebody changed the backup disk /dev/sdb.", ""]


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [
        ("yes\n", True),
        (" yes \n", True),
        ("y\n", False),
        ("Yes\n", False),
        ("yes, no\n", False),
        ("\n", False),
        ("", False),
    ],
)
def test_only_the_whole_word_is_a_yes(
    answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert question.agree(Proposal(PLAN, (CHANGED,), ("The kernel's name may change.",))) is agreed
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("blksync: warning: The kernel's name may change.\n")
    asked = "Discard these changes and overwrite the backup disk /dev/sdb? Type yes: "
    assert printed.err.endswith(asked if answer else asked + "\n")
