# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module disk_info on a system that runs from a USB disk with LUKS, with udev and without."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ansible import run_module

from .inventory import write_inventory
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .machine import Machine
    from .machines import Machines

    DiskInfo = Callable[..., dict[str, Any]]

SCENE = Scene()


@pytest.fixture(scope="module")
def machine(module_machines: Machines) -> Machine:
    return module_machines.running(SCENE)


@pytest.fixture
def disk_info(machine: Machine, tmp_path: Path) -> DiskInfo:
    inventory = write_inventory(tmp_path / "inventory.json", machine, SCENE)

    def ask(*identifiers: str) -> dict[str, Any]:
        return run_module("disk_info", {"disks": list(identifiers)}, inventory=inventory)

    return ask


@contextmanager
def without_udev(machine: Machine) -> Iterator[None]:
    """Hide udev's database and links, as where it never ran."""
    directories = ("/run/udev", "/dev/disk")
    machine.ssh.run(" && ".join("mount -t tmpfs none %s" % directory for directory in directories))
    try:
        yield
    finally:
        machine.ssh.run("; ".join("umount %s" % directory for directory in directories))


def test_the_disk_that_the_system_runs_from(machine: Machine, disk_info: DiskInfo) -> None:
    (disk,) = disk_info(SCENE.main_id)["disks"]
    main = machine.disk("main")
    assert (disk["ptuuid"], disk["table"], disk["serial"]) == (SCENE.main_id, "dos", main.serial)
    assert (disk["transport"], disk["model"], disk["vendor"]) == ("usb", "QEMU HARDDISK", "QEMU")
    assert main.by_id in disk["links"]
    assert any(link.startswith("/dev/disk/by-path/") for link in disk["links"])
    esp, system = disk["partitions"][:2]
    assert (esp["number"], esp["fstype"], esp["links"][0]) == (1, "vfat", main.by_id + "-part1")
    assert [mount["mountpoint"] for mount in esp["mounts"]] == ["/boot/efi"]
    assert (system["fstype"], system["mounts"]) == ("crypto_LUKS", [])
    (luks,) = system["holders"]
    assert luks["kind"] == "crypt"
    assert "/" in [mount["mountpoint"] for mount in luks["mounts"]]


def test_both_disks_by_every_kind_of_identifier(machine: Machine, disk_info: DiskInfo) -> None:
    backup = machine.disk("backup")
    by_path = machine.ssh.run("ls /dev/disk/by-path/*usb*:2:1.0-scsi-0:0:0:0").split()[0]
    for identifier in ("0x" + SCENE.backup_id, backup.by_id, by_path, "serial:" + backup.serial):
        (disk,) = disk_info(identifier)["disks"]
        assert disk["serial"] == backup.serial, identifier
    result = disk_info(backup.by_id + "-part1")
    assert result["kind"] == "invalid_request"
    assert "is partition 1 of" in result["msg"]


def test_the_same_without_udev(machine: Machine, disk_info: DiskInfo) -> None:
    def known(disk: dict[str, Any]) -> dict[str, Any]:
        """All but the links, which are udev's."""
        partitions = [{**part, "links": None} for part in disk["partitions"]]
        return {**disk, "links": None, "partitions": partitions}

    with_udev = disk_info(SCENE.main_id, SCENE.backup_id)["disks"]
    with without_udev(machine):
        assert machine.ssh.run("lsblk -no PTUUID,SERIAL").strip() == ""
        without = disk_info(SCENE.main_id, SCENE.backup_id)["disks"]
    assert [known(disk) for disk in without] == [known(disk) for disk in with_udev]
    assert all(disk["links"] == [] for disk in without)
