# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a source is made to hold still, as a table: what is mounted, and which steps or refusals come out of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from blksync.discovery.model import Holder, Machine, Partition
from blksync.discovery.places import mount_of
from blksync.quiesce.plan import QuiescePlan, disturbance, steps_for
from blksync.quiesce.step import Step, StepRecord
from blksync.system.mountinfo import Mount, parse_mountinfo
from tests.support import machines

# The lines that every machine has: id, parent, devno, root, mountpoint, options, propagation - type, source, options.
ROOT = "20 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro\n"
CRYPT_ROOT = "20 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/root rw\n"
TMPFS_ROOT = "20 1 0:30 / / rw - tmpfs tmpfs rw\n"
RUN = "21 20 0:25 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw\n"
ESP = "30 20 8:1 / /boot/efi rw,relatime shared:9 - vfat /dev/sda1 rw,fmask=0077,dmask=0077\n"
CRYPT = Holder("dm-0", "/dev/mapper/root", "253:0", "crypt")


@dataclass(frozen=True)
class Situation:
    """``holders`` and ``fields`` are those of partition ``number`` of /dev/sda; mounts find their devices by devno."""

    mountinfo: str
    number: int = 2
    holders: tuple[Holder, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    swap_files: tuple[str, ...] = ()
    elsewhere: dict[str, Any] = field(default_factory=dict)

    def plan(self, mode: str = "auto") -> QuiescePlan:
        mounts = parse_mountinfo(self.mountinfo)
        chosen = partition(self.number, mounts, holders=self.holders, **self.fields)
        other = partition(3 - self.number, mounts, **self.elsewhere)
        disk = machines.disk("sda", 8, "11111111", *sorted((chosen, other), key=lambda each: each.number))
        return steps_for(Machine((disk,), mounts, {}, self.swap_files), chosen, mode)


def partition(number: int, every_mount: tuple[Mount, ...], **fields: Any) -> Partition:
    holders = tuple(filled(holder, every_mount) for holder in fields.pop("holders", ()))
    values = {"mounts": on(every_mount, "8:%d" % number), "holders": holders, **fields}
    return machines.partition("sda", number, 8, **values)


def filled(holder: Holder, mounts: tuple[Mount, ...]) -> Holder:
    below = tuple(filled(each, mounts) for each in holder.holders)
    return replace(holder, mounts=on(mounts, holder.devno), holders=below)


def on(mounts: tuple[Mount, ...], devno: str) -> tuple[Mount, ...]:
    return tuple(mount for mount in mounts if mount.devno == devno)


def described(plan: QuiescePlan) -> list[str]:
    """Each step in a few words: ``freeze /dev/sda2 /``."""
    return [" ".join([step.kind, step.device, *step.mountpoints]).rstrip() for step in plan.steps]


SWAP_VOLUME = Holder("dm-1", "/dev/mapper/vg-swap", "253:1", "lvm")
LOOP = Holder("loop0", "/dev/loop0", "7:0", "loop")
HOME = "40 20 253:1 / /home rw - xfs /dev/mapper/vg-home rw\n"
VG_ROOT = "20 1 253:2 / / rw - xfs /dev/mapper/vg-root rw\n"
LVM = (
    replace(
        CRYPT,
        holders=(
            Holder("dm-1", "/dev/mapper/vg-home", "253:1", "lvm"),
            Holder("dm-2", "/dev/mapper/vg-root", "253:2", "lvm"),
        ),
    ),
)

STEPS: dict[str, tuple[Situation, list[str]]] = {
    "nothing mounted": (Situation(TMPFS_ROOT + RUN), []),
    "the root": (Situation(ROOT + RUN), ["journal", "freeze /dev/sda2 /"]),
    "the root on LUKS": (Situation(CRYPT_ROOT, holders=(CRYPT,)), ["journal", "freeze /dev/mapper/root /"]),
    "an ESP": (Situation(ROOT + ESP, 1), ["unmount /dev/sda1 /boot/efi"]),
    "an ESP under a systemd automount": (
        Situation(
            ROOT + "29 20 0:26 / /boot/efi rw shared:8 - autofs systemd-1 rw,fd=40\n" + ESP.replace("30 20", "30 29"),
            1,
        ),
        ["unmount /dev/sda1 /boot/efi"],
    ),
    "an automount that is not mounted": (
        Situation(ROOT + "29 20 0:26 / /boot/efi rw shared:8 - autofs systemd-1 rw,fd=40\n", 1),
        [],
    ),
    "the same file system in two places is frozen once": (
        Situation(TMPFS_ROOT + "40 20 8:2 / /a rw - ext4 /dev/sda2 rw\n41 20 8:2 / /b ro - ext4 /dev/sda2 rw\n"),
        ["freeze /dev/sda2 /a /b"],
    ),
    "bind mounts of the root are frozen with it": (
        Situation(ROOT + "40 20 8:2 /srv/data /export rw - ext4 /dev/sda2 rw\n"),
        ["journal", "freeze /dev/sda2 / /export"],
    ),
    "an ESP with a bind mount of a directory on itself: parents first, the whole first": (
        Situation(
            ROOT
            + "31 30 8:1 /EFI /boot/efi/copy rw shared:9 - vfat /dev/sda1 rw\n"
            + ESP
            + "28 20 8:1 /EFI /mnt rw shared:9 - vfat /dev/sda1 rw\n",
            1,
        ),
        ["unmount /dev/sda1 /boot/efi /mnt /boot/efi/copy"],
    ),
    "btrfs subvolumes are one file system": (
        Situation(
            "20 1 0:33 /@ / rw - btrfs /dev/sda2 rw,subvol=/@\n40 20 0:33 /@home /home rw - btrfs /dev/sda2 rw\n",
            fields={"mounts": parse_mountinfo("20 1 0:33 /@ / rw - btrfs /dev/sda2 rw,subvol=/@\n")},
        ),
        ["journal", "freeze /dev/sda2 / /home"],
    ),
    "LVM on LUKS: home before root": (
        Situation(VG_ROOT + HOME, holders=LVM),
        ["journal", "freeze /dev/mapper/vg-home /home", "freeze /dev/mapper/vg-root /"],
    ),
    "a writable image of the root: first what lives on others": (
        Situation(ROOT + "50 20 7:0 / /mnt/image rw - ext4 /dev/loop0 rw\n", holders=(LOOP,)),
        ["journal", "freeze /dev/loop0 /mnt/image", "freeze /dev/sda2 /"],
    ),
    "an unfreezable image lies still with the file system that it is a file of": (
        Situation(ROOT + "50 20 7:0 / /mnt/image rw - vfat /dev/loop0 rw\n", holders=(LOOP,)),
        ["journal", "freeze /dev/sda2 /"],
    ),
    "so does an image that a program in user space keeps": (
        Situation(ROOT + "50 20 7:0 / /mnt/image rw - fuseblk /dev/loop0 rw,user_id=1000\n", holders=(LOOP,)),
        ["journal", "freeze /dev/sda2 /"],
    ),
    "a read-only file system needs nothing": (
        Situation(TMPFS_ROOT + "40 20 8:2 / /a ro - ext4 /dev/sda2 ro\n"),
        [],
    ),
    "a read-only mount of a writable file system does": (
        Situation(TMPFS_ROOT + "40 20 8:2 / /a ro - ext4 /dev/sda2 rw\n"),
        ["freeze /dev/sda2 /a"],
    ),
    "the system log elsewhere is left alone": (
        Situation(ROOT + "40 20 9:9 / /var rw - ext4 /dev/sdb1 rw\n"),
        ["freeze /dev/sda2 /"],
    ),
    "an unknown file system is frozen, if it can be": (
        Situation(TMPFS_ROOT + "40 20 8:2 / /a rw - bcachefs /dev/sda2 rw\n"),
        ["freeze /dev/sda2 /a"],
    ),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("mode", ["auto", "freeze"])
def test_steps(name: str, mode: str) -> None:
    situation, steps = STEPS[name]
    plan = situation.plan(mode)
    assert (described(plan), plan.refusals) == (steps, ())


@pytest.mark.parametrize("fstype", ["vfat", "fuseblk"])
def test_what_is_held_still_by_what_it_lies_in_is_as_after_a_power_cut(fstype: str) -> None:
    plan = Situation(ROOT + "50 20 7:0 / /mnt/image rw - %s /dev/loop0 rw\n" % fstype, holders=(LOOP,)).plan()
    (warning,) = plan.warnings
    assert warning.startswith("/dev/loop0 (%s, mounted at /mnt/image) lies in a file" % fstype)
    assert "power cut" in warning


def test_only_what_lies_in_a_file_is_nested() -> None:
    mounts = parse_mountinfo(ROOT + "50 20 7:0 / /mnt/image rw - fuseblk /dev/loop0 rw\n")
    root = partition(2, mounts, holders=(LOOP,))
    loop = machines.disk("loop0", 7, "", size=1, backing_file="/dev/sda2")
    for disks, codes in (((loop,), ["source_cannot_quiesce"]), ((replace(loop, backing_file="/home/image"),), [])):
        plan = steps_for(Machine(disks, mounts, {}), root, "auto")
        assert [refusal.code for refusal in plan.refusals] == codes


FUSE = "40 20 8:2 / /a rw - fuseblk /dev/sda2 rw,user_id=0\n"
BTRFS = "40 20 0:33 / /a rw - btrfs /dev/sda2 rw\n"
REFUSALS: dict[str, tuple[Situation, str, str, list[str]]] = {
    "swap": (Situation(ROOT, 1, fields={"swap": True}), "auto", "swapoff /dev/sda1", ["source_swap"]),
    "swap on LVM on LUKS": (
        Situation(TMPFS_ROOT, holders=(replace(CRYPT, holders=(Holder("s", "/dev/s", "253:5", "lvm", (), True),)),)),
        "none",
        "/dev/s on /dev/sda2",
        ["source_swap"],
    ),
    "a swap file": (Situation(ROOT, swap_files=("/swapfile",)), "auto", "swapoff /swapfile", ["source_swap_file"]),
    "a hibernation image": (
        Situation(ROOT, 1, fields={"fstype": "swsuspend"}),
        "auto",
        "hibernated",
        ["source_hibernation"],
    ),
    "a hibernation image in a volume inside LUKS": (
        Situation(TMPFS_ROOT, holders=(replace(CRYPT, holders=(replace(SWAP_VOLUME, fstype="swsuspend"),)),)),
        "auto",
        "mkswap /dev/mapper/vg-swap",
        ["source_hibernation"],
    ),
    "btrfs on two partitions": (
        Situation(BTRFS, fields={"mounts": parse_mountinfo(BTRFS)}, elsewhere={"mounts": parse_mountinfo(BTRFS)}),
        "auto",
        "/a lies on /dev/sda2 and on /dev/sda1 as well",
        ["source_spans_devices"],
    ),
    "a volume on two partitions": (
        Situation(TMPFS_ROOT, holders=(CRYPT,), elsewhere={"holders": (CRYPT,)}),
        "auto",
        "/dev/mapper/root lies on",
        ["source_spans_devices"],
    ),
    "a file system in user space": (Situation(TMPFS_ROOT + FUSE), "auto", "Unmount it", ["source_cannot_quiesce"]),
    "quiesce none and a writable mount": (Situation(ROOT), "none", "set the option quiesce to auto", ["source_in_use"]),
    "quiesce none and a writable mount above": (
        Situation(CRYPT_ROOT, holders=(CRYPT,)),
        "none",
        "/dev/mapper/root on /dev/sda2 is mounted for writing at /",
        ["source_in_use"],
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    situation, mode, words, codes = REFUSALS[name]
    refusals = situation.plan(mode).refusals
    assert [refusal.code for refusal in refusals] == codes
    assert words in str(refusals[0])


def test_what_is_read_only_or_idle_is_no_reason_to_refuse() -> None:
    read_only = Situation(TMPFS_ROOT + "40 20 8:2 / /a ro - ext4 /dev/sda2 ro\n", swap_files=("/elsewhere",))
    assert read_only.plan("none") == QuiescePlan("/dev/sda2", read_only=("8:2",))
    assert Situation(TMPFS_ROOT + FUSE.replace("rw", "ro")).plan("auto").refusals == ()


@pytest.mark.parametrize("mode", ["none", "auto"])
def test_an_idle_volume_on_the_source_is_claimed(mode: str) -> None:
    home_only = Situation(TMPFS_ROOT + HOME.replace("rw", "ro"), holders=LVM)
    assert [claim.path for claim in home_only.plan(mode).claims] == ["/dev/mapper/vg-root"]


def test_a_loop_device_over_a_mounted_file_system_is_not_claimed() -> None:
    assert Situation(ROOT, holders=(LOOP,)).plan().claims == ()


OBSTACLES: dict[str, tuple[str, str]] = {
    "none": (ESP, ""),
    "another file system on it": (ESP + "50 30 0:40 / /boot/efi/x rw - tmpfs tmpfs rw\n", "(/boot/efi/x)"),
    "a slave of a mount that is not here": (ESP.replace("shared:9", "master:9"), "another namespace"),
    "a slave of one that is here": (ESP + "31 20 8:1 / /mnt rw master:9 - vfat /dev/sda1 rw\n", ""),
    "an ID-mapped mount": (ESP.replace("rw,relatime", "rw,relatime,idmapped"), "ID-mapped"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_cannot_be_unmounted_and_mounted_again_is_known_before(name: str) -> None:
    mountinfo, words = OBSTACLES[name]
    (step,) = Situation(ROOT + mountinfo, 1).plan().steps
    assert (words in step.obstacle) if words else not step.obstacle


def test_steps_and_entries_survive_json() -> None:
    step = Situation(ROOT + ESP, 1).plan().steps[0]
    entry = StepRecord(step, "frozen", 1.5, None, 2.5, 3.5)
    assert Step.from_data(json.loads(json.dumps(step.to_data()))) == step
    assert StepRecord.from_data(json.loads(json.dumps(entry.to_data()))) == entry


def test_writers_wait_from_the_call_of_fifreeze_to_the_thaw() -> None:
    step = Situation(ROOT).plan().steps[0]
    entries = [
        *(StepRecord(step, "frozen", 1.0, 7.0, 3.0, 6.0), StepRecord(step, "frozen", 1.0, None, 3.0)),
        *(StepRecord(step, "frozen", 1.0), StepRecord(step, "unmounted", 1.0)),
    ]
    seconds = [entry.report(now=9.0) for entry in entries]
    assert [entry.seconds for entry in seconds] == [6.0, 8.0, 8.0, 8.0]
    assert [entry.frozen_seconds for entry in seconds] == [3.0, 6.0, 8.0, 0.0]


@pytest.mark.parametrize("options", ["ro", "rw,errors=remount-ro,emergency_ro"])
def test_read_only_after_an_error_needs_no_step(options: str) -> None:
    plan = Situation(TMPFS_ROOT + "40 20 8:2 / /a rw - ext4 /dev/sda2 %s\n" % options).plan()
    assert (plan.steps, plan.read_only) == ((), ("8:2",))
    assert disturbance(plan, parse_mountinfo("40 20 8:2 / /a rw - ext4 /dev/sda2 %s\n" % options)) == ""


def test_made_writable_while_it_should_be_read_only() -> None:
    plan = Situation(TMPFS_ROOT + "40 20 8:2 / /a ro - ext4 /dev/sda2 ro\n").plan()
    for line, words in [
        ("40 20 8:2 / /a ro - ext4 /dev/sda2 ro\n", ""),
        ("41 20 8:3 / /b rw - ext4 /dev/sda3 rw\n", ""),
        ("42 20 8:2 / /c rw - ext4 /dev/sda2 rw\n", "/c was read-only"),
    ]:
        found = disturbance(plan, parse_mountinfo(TMPFS_ROOT + line))
        assert (words in found) if words else not found


def test_the_mount_of_a_path_is_the_innermost_and_of_several_there_the_last() -> None:
    mounts = parse_mountinfo(ROOT + RUN + "50 21 0:40 / /run rw - tmpfs again rw\n")
    found = [mount_of(mounts, path) for path in ("/run/blksync", "/run", "/runner", "/")]
    assert [mount.mount_id for mount in found if mount] == [50, 50, 20, 20]
    assert mount_of((), "/") is None
