# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines themselves: disks that boot, plugging, saving. What the other tests here stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .disk import backup_partitions, read_partition
from .machine import Machine
from .saved_state import restore, save
from .scene import Scene, third_partition_data

if TYPE_CHECKING:
    from pathlib import Path

    from .machines import Machines


def disk_below(machine: Machine, mount_point: str) -> str:
    """Return the identifier of the disk that a mounted file system is on, below any LUKS."""
    device = machine.ssh.run(f"findmnt -no SOURCE {mount_point}").strip()
    disk = machine.ssh.run(
        f"lsblk --inverse --list --noheadings --paths -o NAME,TYPE {device} | grep ' disk$'"
    ).split()[0]
    return machine.ssh.run(f"lsblk --nodeps -no PTUUID {disk}").strip()


def test_system_runs_from_the_main_disk(module_machines: Machines) -> None:
    scene = Scene()
    machine = module_machines.running(scene)
    assert disk_below(machine, "/") == scene.main_id
    assert disk_below(machine, "/boot/efi") == scene.main_id
    assert machine.ssh.run("systemctl is-system-running").strip() == "running"
    assert (
        machine.ssh.run(
            "test -d /sys/firmware/efi && lsblk -no FSTYPE /dev/disk/by-id/*MAINDISK*-part2 | head -1"
        ).strip()
        == "crypto_LUKS"
    )


def test_backup_disk_has_empty_partitions_of_the_same_sizes(machines: Machines) -> None:
    machine = machines.running(Scene())
    main, backup = machine.disk("main").by_id, machine.disk("backup").by_id
    for number in (1, 2):
        sizes = machine.ssh.run(f"blockdev --getsize64 {main}-part{number} {backup}-part{number}").split()
        assert len(set(sizes)) == 1
        assert machine.ssh.run(f"cmp --bytes=1048576 {backup}-part{number} /dev/zero && echo empty").strip() == "empty"
    starts = machine.ssh.run(f"lsblk -no START {main}-part2 {backup}-part2").split()
    assert len(set(starts)) == len(starts), "the partitions ought to lie elsewhere"


def test_unplug_and_plug(machines: Machines) -> None:
    machine = machines.running(Scene())
    disk = machine.unplug("backup")
    gone = f"for i in $(seq 100); do [ -e {disk.by_id} ] || exit 0; sleep .1; done; exit 1"
    machine.ssh.run(gone)
    machine.plug(disk)
    assert "BACKUPDISK" in machine.ssh.run(f"udevadm info --query=property {disk.by_id}")


def test_restored_machine_starts_from_the_same_point(machines: Machines) -> None:
    first = machines.running(Scene())
    first.ssh.run("echo changed > /root/file; sync")
    first.kill()
    second = machines.running(Scene())
    assert second.ssh.attempt("test -e /root/file").returncode == 1
    assert int(second.ssh.run("cut -d. -f1 /proc/uptime")) < 600


def test_save_and_restore(machines: Machines, tmp_path: Path) -> None:
    machine = machines.running(Scene())
    machine.ssh.run("echo kept > /run/in-memory; echo kept > /root/on-disk")  # not even synced
    save(machine, machine.folder)
    assert not machine.running()
    again = restore(machine.folder, tmp_path)
    try:
        assert again.ssh.run("cat /run/in-memory /root/on-disk").split() == ["kept", "kept"]
    finally:
        again.kill()


def test_power_cut_keeps_what_was_flushed(machines: Machines) -> None:
    machine = machines.running(Scene())
    machine.ssh.run("echo flushed > /root/file; sync")
    machine.kill()
    again = machines.boot(Scene(), *machine.disks)
    assert again.ssh.run("cat /root/file").strip() == "flushed"


def test_read_error_at_a_sector(machines: Machines) -> None:
    machine = machines.running(Scene())
    disk = machine.unplug("backup")
    machine.plug(type(disk)(**{**vars(disk), "read_errors": (4096,)}))
    assert machine.ssh.attempt(f"dd if={disk.by_id} of=/dev/null bs=512 skip=4096 count=1 iflag=direct").returncode != 0
    machine.ssh.run(f"dd if={disk.by_id} of=/dev/null bs=512 skip=4097 count=8 iflag=direct")


def test_machine_is_found_again_by_its_folder(machines: Machines) -> None:
    machine = machines.running(Scene())
    found = Machine.load(machine.folder)
    assert found == machine
    found.shut_down()
    assert not machine.running()
    third = backup_partitions()[2]
    assert read_partition(machine.disk("backup").image, third, machine.folder) == third_partition_data()


@pytest.mark.full
@pytest.mark.parametrize(
    "scene",
    [Scene("bios", "dos", "passphrase"), Scene("uefi", "gpt", "none"), Scene("bios", "gpt", "keyfile")],
    ids=str,
)
def test_cold_boot(machines: Machines, tmp_path: Path, scene: Scene) -> None:
    machine = machines.boot(scene, scene.main_disk(tmp_path), scene.backup_disk(tmp_path))
    assert disk_below(machine, "/") == scene.main_id
    assert disk_below(machine, "/boot/efi") == scene.main_id
    assert machine.ssh.attempt("test -d /sys/firmware/efi").returncode == (0 if scene.firmware == "uefi" else 1)
    identifier = machine.ssh.run(f"lsblk --nodeps -no PTUUID {machine.disk('backup').by_id}").strip()
    assert identifier == scene.backup_id
