# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What forbids to copy a source while it is in use, as far as that is known beforehand."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from blksync.discovery.model import Holder, Partition
from blksync.errors import LiveDoubtError, Reason
from blksync.live import eligibility
from blksync.live.dirty_tracker import DirtyTracker
from blksync.quiesce.plan import QuiescePlan
from blksync.quiesce.step import FREEZE, JOURNAL, UNMOUNT, Step
from tests.support.machines import disk, mount, partition

ROOT = mount("8:2", "/")
FREEZE_ROOT = Step(FREEZE, "/dev/sda2", "8:2", "8:2", "ext4", (ROOT,))
PLAN = QuiescePlan("/dev/sda2", (Step(JOURNAL), FREEZE_ROOT))


def source(*kinds: str, **fields: Any) -> Partition:
    """A partition with a stack of holders of these kinds, the lowest first."""
    holders: tuple[Holder, ...] = ()
    for level, kind in reversed(list(enumerate(kinds))):
        name = "dm-%d" % level
        mounts = () if holders else (mount("253:%d" % level, "/", **fields),)
        holders = (Holder(name, "/dev/" + name, "253:%d" % level, kind, mounts=mounts, holders=holders),)
    return partition("sda", 2, 8, holders=holders, mounts=() if kinds else (mount("8:2", "/", **fields),))


@pytest.mark.parametrize("kinds", [(), ("crypt",), ("crypt", "lvm"), ("lvm",), ("loop", "partition")])
def test_what_passes_every_write_on_is_no_obstacle(kinds: tuple[str, ...]) -> None:
    assert eligibility.obstacle(source(*kinds), PLAN) is None


@pytest.mark.parametrize("kinds", [("raid",), ("crypt", "raid"), ("mpath",), ("bcache",), ("dm",), ("raid", "lvm")])
def test_stacked_devices_that_may_hide_writes(kinds: tuple[str, ...]) -> None:
    level = next(level for level, kind in enumerate(kinds) if kind not in eligibility.TRANSPARENT)
    assert eligibility.obstacle(source(*kinds), PLAN) == Reason(
        "untraceable_holder", "/dev/dm-%d (%s) may write to /dev/sda2 unseen" % (level, kinds[level])
    )


def test_what_can_only_be_unmounted() -> None:
    boot = Step(UNMOUNT, "/dev/loop0", "7:0", "7:0", "vfat", (mount("7:0", "/boot/efi", fstype="vfat"),))
    plan = QuiescePlan("/dev/sda2", (boot, FREEZE_ROOT))
    unfrozen = Reason("not_freezable", "/boot/efi (vfat) cannot be frozen, only unmounted")
    assert eligibility.obstacle(source(), plan) == unfrozen


@pytest.mark.parametrize("options", ["rw,dax", "rw,dax=always", "dax=inode,rw"])
@pytest.mark.parametrize("kinds", [(), ("lvm",)])
def test_dax(options: str, kinds: tuple[str, ...]) -> None:
    found = eligibility.obstacle(source(*kinds, super_options=options), PLAN)
    assert found == Reason("dax", "/ is mounted with dax, whose writes are not seen")


def test_it_applies_only_where_something_would_be_frozen() -> None:
    assert eligibility.applies(PLAN)
    assert not eligibility.applies(QuiescePlan("/dev/sda2"))
    assert not eligibility.applies(QuiescePlan("/dev/sda2", (Step(JOURNAL), Step(UNMOUNT, "/dev/sda1"))))


def test_a_big_endian_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "big")
    with pytest.raises(LiveDoubtError, match="the trace of a big-endian machine is not understood"):
        DirtyTracker(disk("sda", 8, "11111111"), {source(): 4096})
