# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines themselves: disks that boot, plugging, saving. What the other tests here stand on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from .disk import backup_partitions, read_partition
from .faulty_disk import Fault, FaultyDisk
from .image import MIB
from .machine import Machine
from .saved_state import restore, save
from .scene import Scene, third_partition_data
from .workstation import Workstation

if TYPE_CHECKING:
    from pathlib import Path

    from .machines import Machines


def test_system_runs_from_the_main_disk(machines: Machines) -> None:
    scene = Scene()
    system = Workstation(machines.running(scene), scene)
    assert system.disk_below("/") == scene.main_id
    assert system.disk_below("/boot/efi") == scene.main_id
    assert system.ssh.run("systemctl is-system-running").strip() == "running"
    assert system.lsblk(f"{system.machine.disk('main').by_id}-part2", "FSTYPE") == "crypto_LUKS"
    system.ssh.run("test -d /sys/firmware/efi")


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
    save(machine, machine.directory)
    assert not machine.running()
    again = restore(machine.directory, tmp_path)
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


def test_faulty_disk(machines: Machines, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(b"old!" * (MIB // 4))
    faults = Fault("read_error", 8192, 12288), Fault("write_error", 16384, 20480), Fault("lost_write", 32768, 36864)
    machine = machines.running(Scene())
    with FaultyDisk(image, *faults) as disk:
        usb = disk.as_usb("faulty", "FAULTYDISK0003", 3)
        machine.plug(usb)
        dd = f"dd bs=4096 count=1 status=none oflag=direct conv=notrunc,nocreat if=/dev/urandom of={usb.by_id}"
        read = f"dd bs=4096 count=1 status=none iflag=direct if={usb.by_id}"
        assert "Input/output error" in machine.ssh.attempt(f"{read} skip=2").stderr
        assert machine.ssh.run(f"{read} skip=1 | head -c 4") == "old!"
        assert "Input/output error" in machine.ssh.attempt(f"{dd} seek=4").stderr
        machine.ssh.run(f"{dd} seek=8")  # lost
        machine.ssh.run(f"{dd} seek=9")
        disk.faults = [Fault("stalled_write", 40960)]
        with subprocess.Popen(machine.ssh.argv(f"{dd} seek=10")) as writing:
            assert disk.stalled.wait(60)
            assert writing.poll() is None
            disk.resume()
            assert writing.wait(60) == 0
        machine.kill()
    written = [n for n in range(MIB // 4096) if image.read_bytes()[n * 4096 :][:4] != b"old!"]
    assert written == [9, 10]


def test_machine_is_found_again_by_its_dir(machines: Machines) -> None:
    machine = machines.running(Scene())
    found = Machine.load(machine.directory)
    assert found == machine
    found.shut_down()
    assert not machine.running()
    third = backup_partitions()[2]
    assert read_partition(machine.disk("backup").image, third, machine.directory) == third_partition_data()


@pytest.mark.full
def test_cold_boot_by_bios_from_gpt(machines: Machines, tmp_path: Path) -> None:
    scene = Scene("bios", "gpt")
    system = Workstation(machines.boot(scene, scene.main_disk(tmp_path), scene.backup_disk(tmp_path)), scene)
    assert system.disk_below("/") == scene.main_id
    assert system.disk_below("/boot/efi") == scene.main_id
    assert system.ssh.attempt("test -d /sys/firmware/efi").returncode == 1
    assert system.lsblk(system.machine.disk("backup").by_id, "PTUUID") == scene.backup_id
