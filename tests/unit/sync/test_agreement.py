# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user agreed to is what is carried out, even if another disk has taken a name meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blksync.discovery.model import Machine
from blksync.errors import DeclinedError, DeviceBusyError
from blksync.options import SyncRequest
from blksync.sync import superblock_refusals
from blksync.sync.disk_sync import DiskSync
from blksync.sync.monitor import Progress
from blksync.sync.proposal import Proposal
from tests.support.machines import disk, machine, mount, partition

SOURCE, TARGET = disk("sda", 8, "11111111", diskseq=5), disk("sdb", 9, "22222222", diskseq=6)
PLANNED = machine(SOURCE, TARGET)


@pytest.fixture(autouse=True)
def _no_superblocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superblock_refusals, "examine", lambda *_args: superblock_refusals.Findings())


def shown(answer: bool) -> DiskSync:
    """A run whose plan was shown."""
    asked: list[Proposal] = []

    def agree(proposal: Proposal) -> bool:
        asked.append(proposal)
        return answer

    guest = DiskSync(SyncRequest("11111111", "22222222"), Progress(), None, agree)
    guest.begin(guest.make_plan(PLANNED), PLANNED)
    assert guest.confirm()
    assert [proposal.at_most for proposal in asked] == [sum(part.size for part in TARGET.partitions)]
    return guest


def now(source: dict[str, Any], target: dict[str, Any]) -> Machine:
    return machine(replace(SOURCE, **source), replace(TARGET, **target))


@pytest.mark.parametrize(
    "later",
    [
        now({}, {"diskseq": 7}),
        now({"diskseq": 7}, {}),
        now({}, {"serial": "OTHER"}),
        now({}, {"size": TARGET.size + 512}),
        now({}, {"partitions": (partition("sdb", 1, 9), partition("sdb", 2, 9, start=512))}),
    ],
    ids=["target plugged in again", "source plugged in again", "other serial", "other size", "partition moved"],
)
def test_a_plan_for_other_disks_is_not_carried_out(later: Machine) -> None:
    guest = shown(True)
    with pytest.raises(DeviceBusyError, match="no longer those that were shown"):
        guest.begin(guest.make_plan(later), later)


def test_what_is_mounted_meanwhile_changes_no_agreement() -> None:
    guest = shown(True)
    mounted = (partition("sda", 1, 8), partition("sda", 2, 8, mounts=(mount("8:2", "/mnt"),)))
    later = now({"partitions": mounted}, {})
    guest.begin(guest.make_plan(later), later)


def test_a_no_ends_the_run() -> None:
    with pytest.raises(DeclinedError, match="Nothing was written"):
        shown(False)
