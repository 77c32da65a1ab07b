# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running system is synced live by Ansible, its main disk is taken away, and the backup disk boots alone.

The consoles of the machines that booted from a copy go to build/results/vm-boot.txt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from .cache import REPOSITORY
from .disk import backup_partitions, read_partition
from .image import MIB
from .scene import Scene, third_partition_data
from .workstation import Workstation

if TYPE_CHECKING:
    from pathlib import Path

    from .hardware import UsbDisk
    from .machines import Machines

MARKER = "written last before the sync"
FSCK_LOG = "journalctl --boot --output cat --identifier systemd-fsck"
ESCAPE_SEQUENCES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")


@dataclass(frozen=True)
class Left:
    """What a copy must hold beside the marker: the rounds that the load had finished when the sync began."""

    load_count: int


def sync_under_load(system: Workstation) -> Left:
    """Sync the main disk to the backup disk while something writes to root; check the copy from outside."""
    scene = system.scene
    system.start_load()
    system.ssh.run(f"echo '{MARKER}' | tee /root/marker > /boot/efi/marker.txt; sync")
    left, mounts = Left(system.load_count()), system.mounts()
    result = system.disk_sync(scene.main_id, scene.backup_id)
    assert not result["failed"], result
    assert result["changed"]
    actions = {
        place: entry["action"]
        for pair in result["partitions"]
        for entry in pair["quiesce"]
        for place in entry["mountpoints"]
    }
    assert actions == {"/boot/efi": "unmounted", "/": "frozen"}
    root = result["partitions"][1]
    assert root["live"]["used"], root["live"]["fallback"]
    assert system.mounts() == mounts
    system.check_writable("/", "/boot/efi")
    assert system.load_count() > left.load_count, "the load ought to have gone on"
    system.ssh.run("systemctl stop load")
    check_file_systems(system)
    return left


def check_file_systems(system: Workstation) -> None:
    """The copies of both file systems are clean, without any journal being replayed."""
    backup = system.machine.disk("backup").by_id
    system.ssh.run(f"fsck.vfat -n {backup}-part1")
    if system.scene.unlock == "none":
        system.ssh.run(f"e2fsck -fn {backup}-part2")
        return
    system.ssh.run(f"cryptsetup open --readonly --key-file /etc/keys/root.key {backup}-part2 copy")
    try:
        system.ssh.run("e2fsck -fn /dev/mapper/copy")
    finally:
        system.ssh.run("cryptsetup close copy")


def boot_alone(machines: Machines, scene: Scene, disk: UsbDisk, identifier: str, left: Left) -> Workstation:
    """Boot a machine from nothing but a copy: it is the same system, wholly on that disk, and well."""
    system = Workstation(machines.boot(scene, replace(disk, boot=0)), scene)
    assert system.ssh.run("systemctl is-system-running --wait").strip() == "running"
    assert {system.disk_below("/"), system.disk_below("/boot/efi")} == {identifier}
    assert system.ssh.run("cat /root/marker").strip() == MARKER
    assert system.ssh.run("cat /boot/efi/marker.txt").strip() == MARKER
    assert system.load_count() >= left.load_count
    assert "system: clean," in system.ssh.run(FSCK_LOG)
    keep_proof(system, identifier)
    return system


def keep_proof(system: Workstation, identifier: str) -> None:
    """Add the machine's console, and what the system says of itself, to the file in build/results."""
    log = REPOSITORY / "build" / "results" / "vm-boot.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    says = system.ssh.run("lsblk --output NAME,SIZE,FSTYPE,MOUNTPOINT,PTUUID; uptime; " + FSCK_LOG)
    console = ESCAPE_SEQUENCES.sub("", system.machine.console_text()).replace("\r", "")
    with log.open("a") as file:
        file.write(f"== {system.scene} from {identifier} alone\n{console}\n{says}\n")


@pytest.mark.timeout(1800)
def test_backup_disk_replaces_the_main_disk_and_back(machines: Machines, tmp_path: Path) -> None:
    scene = Scene()
    system = Workstation(machines.running(scene), scene)
    system.machine.unplug("backup")
    system.machine.plug(scene.backup_disk(tmp_path, old_copy=True))
    left = sync_under_load(system)
    second = system.disk_sync(scene.main_id, scene.backup_id)
    assert not second["failed"], second
    assert second["bytes_written"] < 32 * MIB, "only the load's last rounds, the journal and Ansible's traces"
    system.machine.shut_down()
    main, backup = system.machine.disks
    assert read_partition(backup.image, backup_partitions()[2], tmp_path) == third_partition_data()

    on_backup = boot_alone(machines, scene, backup, scene.backup_id, left)
    fresh = scene.empty_main_disk(tmp_path)
    on_backup.machine.plug(fresh)
    restored = on_backup.disk_sync(scene.backup_id, scene.main_id, scope="used")
    assert not restored["failed"], restored
    root = restored["partitions"][1]
    assert root["scope"] == {"mode": "used", "reason": None}
    assert root["bytes_skipped"] > MIB
    on_backup.machine.shut_down()
    boot_alone(machines, scene, fresh, scene.main_id, left).machine.shut_down()

    check_refusal_of_a_half_and_half_system(machines, scene, replace(main, boot=1), replace(backup, boot=0))


def check_refusal_of_a_half_and_half_system(machines: Machines, scene: Scene, main: UsbDisk, backup: UsbDisk) -> None:
    """With both disks there at boot the firmware takes the copy, and file systems come from either disk."""
    system = Workstation(machines.boot(scene, main, backup), scene)
    root = system.disk_below("/")
    if system.disk_below("/boot/efi") == root:  # chance would have it; make it half and half
        other = main if root == scene.backup_id else backup
        system.ssh.run(f"umount /boot/efi && mount {other.by_id}-part1 /boot/efi")
    mounts = system.mounts()
    for source, target in ((scene.main_id, scene.backup_id), (scene.backup_id, scene.main_id)):
        result = system.disk_sync(source, target)
        assert result["failed"]
        assert result["kind"] == "refused", result
    assert system.mounts() == mounts


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("scene", [Scene("bios", "dos", "passphrase"), Scene("uefi", "gpt", "none")], ids=str)
def test_backup_disk_boots(machines: Machines, tmp_path: Path, scene: Scene) -> None:
    disks = scene.main_disk(tmp_path), scene.backup_disk(tmp_path, old_copy=True)
    system = Workstation(machines.boot(scene, disks[0]), scene)
    system.machine.plug(disks[1])
    left = sync_under_load(system)
    system.machine.shut_down()
    boot_alone(machines, scene, disks[1], scene.backup_id, left)
