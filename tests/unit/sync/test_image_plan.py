# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before an image or device is copied to another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blksync.discovery.model import Holder
from blksync.options import ImageRequest
from blksync.sync import image_plan
from blksync.sync.endpoint import BLOCK, FILE, MISSING, OTHER, Endpoint
from blksync.sync.plan import Plan
from tests.support.machines import MIB, disk, machine, mount, partition

SIZE = 64 * MIB
ROOT = mount("8:2", "/", mount_id=1)
DATA = mount("9:2", "/data", mount_id=2)
LUKS = Holder("dm-0", "/dev/dm-0", "253:0", "crypt", mounts=(mount("253:0", "/home", mount_id=3),))
SDA = disk("sda", 8, "11111111", partition("sda", 1, 8), partition("sda", 2, 8, mounts=(ROOT,)))
SDB = disk("sdb", 9, "22222222", partition("sdb", 1, 9), partition("sdb", 2, 9, mounts=(DATA,)))
SDC = disk("sdc", 10, "33333333", partition("sdc", 1, 10), partition("sdc", 2, 10, holders=(LUKS,)))
LOOP = disk("loop0", 7, "44444444", backing_file="/data/attached.img")
MACHINE = machine(SDA, SDB, SDC, LOOP, mounts=(ROOT, DATA, *LUKS.mounts), ancestry={"253:0": ("10:0",)})


def device(path: str, devno: str, size: int = SIZE) -> Endpoint:
    return Endpoint(path, path, BLOCK, size, devno)


def file(path: str, inode: int = 1, size: int = SIZE) -> Endpoint:
    return Endpoint(path, path, FILE, size, inode=inode, device=99, modified=1, changed=1)


def missing(path: str, directory: bool = True) -> Endpoint:
    return Endpoint(path, path, MISSING, directory=directory)


def plan(source: Endpoint, target: Endpoint, **options: Any) -> Plan:
    return image_plan.make(MACHINE, source, target, ImageRequest(source.path, target.path, **options))


SDA1, SDB1, SDC1 = (device(f"/dev/sd{name}1", f"{major}:1") for name, major in (("a", 8), ("b", 9), ("c", 10)))


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        (SDA1, SDB1, {}),
        (SDA1, file("/data/a.img"), {"keep": 3, "punch_zeros": True}),
        (SDA1, missing("/data/a.img"), {"create": True}),
        (SDA1, missing("/dev/shm/a.img"), {"create": True}),
        (file("/data/a.img"), SDA1, {}),
        (file("/data/a.img"), file("/data/b.img", inode=2), {}),
        (device("/dev/sda2", "8:2"), missing("/data/a.img"), {"create": True}),  # frozen meanwhile
        (device("/dev/sda2", "8:2"), SDB1, {"rate_limit": MIB, "quiesce_timeout": 64}),
        (SDA1, SDB1, {"rate_limit": MIB, "quiesce_timeout": 1}),  # nothing is frozen
        (device("/dev/sda2", "8:2"), SDB1, {"rate_limit": MIB, "quiesce_timeout": 63, "scope": "used"}),
        (device("/dev/dm-0", "253:0"), missing("/data/a.img"), {"create": True}),
        (device("/dev/sda", "8:0", 1000 * MIB), missing("/data/a.img"), {"create": True}),
    ],
)
def test_fine(source: Endpoint, target: Endpoint, options: dict[str, Any]) -> None:
    made = plan(source, target, **options)
    assert [refusal.code for refusal in made.refusals] == []
    assert [pair.number for pair in made.pairs] == [0]
    assert made.pairs[0].size == source.size


@pytest.mark.parametrize(
    ("source", "target", "options", "codes"),
    [
        (missing("/data/a.img"), SDB1, {}, ["source_missing", "size_differs"]),
        (Endpoint("/tmp", "/tmp", OTHER), SDB1, {}, ["source_kind", "size_differs"]),
        (file("/data/a.img", size=0), file("/data/b.img", 2, 0), {}, ["source_empty"]),
        (file("/data/attached.img"), SDB1, {}, ["source_attached"]),
        (SDA1, file("/data/attached.img"), {}, ["target_attached"]),
        (SDA1, Endpoint("/tmp", "/tmp", OTHER), {}, ["target_kind"]),
        (SDA1, missing("/data/a.img"), {}, ["target_missing"]),
        (SDA1, missing("/nowhere/a.img", directory=False), {"create": True}, ["target_dir_missing"]),
        (SDA1, missing("/dev/sdz9"), {"create": True}, ["target_under_dev"]),
        (SDA1, file("/dev/sdz9"), {}, ["target_under_dev"]),
        (SDA1, missing("/dev/disk/by-id/usb-X"), {"create": True}, ["target_under_dev"]),
        (SDA1, SDA1, {}, ["same_image"]),
        (file("/data/a.img"), file("/data/link.img"), {}, ["same_image"]),
        (SDA1, device("/dev/sdb1", "9:1", SIZE - 512), {}, ["size_differs"]),
        (SDA1, file("/data/a.img", size=SIZE + 1), {}, ["size_differs"]),
        (SDA1, device("/dev/sdb2", "9:2"), {}, ["target_mounted"]),
        (SDA1, device("/dev/sdc2", "10:2"), {}, ["target_held"]),
        (SDA1, device("/dev/dm-0", "253:0"), {}, ["target_mounted"]),
        (device("/dev/sdc2", "10:2"), device("/dev/dm-0", "253:0"), {}, ["target_mounted", "target_on_source"]),
        (device("/dev/dm-0", "253:0"), device("/dev/sdc2", "10:2"), {}, ["target_held", "target_on_source"]),
        (device("/dev/sdb2", "9:2"), missing("/data/a.img"), {"create": True}, ["target_on_source"]),
        (device("/dev/sdb", "9:0", 1000 * MIB), missing("/data/a.img"), {"create": True}, ["target_on_source"]),
        (device("/dev/dm-0", "253:0"), file("/home/a.img"), {}, ["target_on_source"]),
        (device("/dev/sdb1", "9:1"), device("/dev/sdb", "9:0"), {}, ["target_mounted", "target_on_source"]),
        (device("/dev/sdb1", "9:1"), device("/dev/sda", "8:0"), {}, ["target_runs_system", "target_mounted"]),
        (SDA1, SDB1, {"keep": 1}, ["needs_image_file"]),
        (SDA1, SDB1, {"punch_zeros": True}, ["needs_image_file"]),
        (SDA1, SDB1, {"protected": ("22222222",)}, ["target_protected"]),
        (SDA1, file("/data/a.img"), {"protected": ("22222222",)}, ["target_protected"]),
        (SDA1, missing("/data/a.img"), {"protected": ("22222222",), "create": True}, ["target_protected"]),
        (device("/dev/sda2", "8:2"), SDB1, {"quiesce": "none"}, ["source_in_use"]),
        (device("/dev/sda2", "8:2"), SDB1, {"rate_limit": MIB, "quiesce_timeout": 63}, ["rate_limit_too_low"]),
        (device("/dev/sda2", "8:2"), file("/data/a.img"), {"digest_dir": "/var/digests"}, ["digest_dir_quiesced"]),
        (SDA1, SDB1, {"digest_dir": "/data/digests"}, ["digest_needs_image_file"]),
        (file("/data/a.img"), SDB1, {"digest_dir": "/data/digests"}, ["digest_needs_image_file"]),
        (
            device("/dev/sda2", "8:2"),
            device("/dev/sdb2", "9:2"),
            {"digest_dir": "/var/digests", "check": True, "keep": 1},
            ["target_mounted", "needs_image_file", "digest_dir_quiesced", "digest_needs_image_file"],
        ),
    ],
)
def test_refused(source: Endpoint, target: Endpoint, options: dict[str, Any], codes: list[str]) -> None:
    made = plan(source, target, **options)
    assert [refusal.code for refusal in made.refusals] == codes


def test_read_only_targets() -> None:
    there = machine(SDA, replace(SDB, partitions=(replace(SDB.partitions[0], read_only=True),)))
    made = image_plan.make(there, SDA1, SDB1, ImageRequest("/dev/sda1", "/dev/sdb1"))
    assert [refusal.code for refusal in made.refusals] == ["target_read_only"]


def test_the_kernels_own_names_work_with_a_warning() -> None:
    (words,) = plan(file("/data/a.img"), SDB1).warnings
    assert "by-id" in words
    by_id = Endpoint("/dev/disk/by-id/usb-x-part1", "/dev/sdb1", BLOCK, SIZE, "9:1")
    assert plan(file("/data/a.img"), by_id).warnings == ()
    assert plan(file("/data/a.img"), by_id).pairs[0].target == SDB.partitions[0]
