# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What powers a disk off, found in trees like sysfs: USB alone and in company, SCSI, and disks without a switch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blksync.discovery.host import System
from blksync.discovery.model import Switch
from blksync.discovery.observe import observe

HOST = "/sys/devices/pci0000:00/0000:00:14.0"
USB = HOST + "/usb1/1-2"
ATA = "/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0"


class FakeSysfs(System):
    """A sysfs that is a directory; no mounts, no programs, no devices."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)

    def text(self, path: str) -> str | None:
        return super().text(self.root + path) if path.startswith("/sys/") else ""

    def names(self, directory: str) -> list[str]:
        return super().names(self.root + directory)

    def realpath(self, path: str) -> str:
        return super().realpath(self.root + path)[len(self.root) :]

    def links(self) -> dict[str, str]:
        return {}

    def run(self, *argv: str) -> str | None:
        return None

    def read(self, path: str, devno: str, offset: int, length: int) -> bytes | None:
        return None

    def add_usb(self, directory: str) -> None:
        """A USB device, hub or bridge."""
        for attribute in ("idVendor", "remove"):
            self._write("%s/%s" % (directory, attribute), "")

    def add_disk(self, device: str, name: str, devno: str, scsi: bool = True) -> None:
        """A block device ``name`` of the SCSI (or other) device ``device``, with one partition."""
        directory = "%s/block/%s" % (device, name)
        if scsi:
            self._write(device + "/delete", "")
        for attribute, value in (("dev", devno), ("size", "2048")):
            self._write("%s/%s" % (directory, attribute), value)
            self._write("%s/%s1/%s" % (directory, name, attribute), value + "1")
        self._write("%s/%s1/partition" % (directory, name), "1")
        self._link(directory + "/device", device)
        for path in (directory, "%s/%s1" % (directory, name)):
            self._link("/sys/class/block/" + path.rsplit("/", 1)[1], path)

    def _write(self, path: str, text: str) -> None:
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        Path(self.root + path).write_text(text, encoding="utf-8")

    def _link(self, path: str, target: str) -> None:
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        os.symlink(self.root + target, self.root + path)

    def switches(self) -> dict[str, Switch | None]:
        """What discovery finds, by the disk's name."""
        return {disk.name: disk.switch for disk in observe(self).disks}


@pytest.fixture
def sysfs(tmp_path: Path) -> FakeSysfs:
    system = FakeSysfs(Path(os.path.realpath(tmp_path)))
    system.add_usb(HOST + "/usb1")  # the root hub, with everything below it
    system.add_disk(ATA, "sda", "8:0")
    return system


def test_a_scsi_disk_is_deleted(sysfs: FakeSysfs) -> None:
    assert sysfs.switches() == {"sda": Switch(ATA + "/delete")}


def test_a_usb_disk_is_removed_with_its_bridge(sysfs: FakeSysfs) -> None:
    sysfs.add_usb(USB)
    sysfs.add_usb(HOST + "/usb1/1-20")
    sysfs.add_disk(USB + "/1-2:1.0/host6/target6:0:0/6:0:0:0", "sdb", "8:16")
    sysfs.add_disk(HOST + "/usb1/1-20/1-20:1.0/host7/target7:0:0/7:0:0:0", "sdc", "8:32")
    found = sysfs.switches()
    assert found["sdb"] == Switch(USB + "/remove")
    assert found["sdc"] == Switch(HOST + "/usb1/1-20/remove")


def test_two_disks_behind_one_bridge_go_together(sysfs: FakeSysfs) -> None:
    sysfs.add_usb(USB)
    for lun, name in ((0, "sdb"), (1, "sdc")):
        sysfs.add_disk("%s/1-2:1.0/host6/target6:0:0/6:0:0:%d" % (USB, lun), name, "8:%d" % (16 + 16 * lun))
    found = sysfs.switches()
    assert found["sdb"] == Switch(USB + "/remove", ("sdc",))
    assert found["sdc"] == Switch(USB + "/remove", ("sdb",))


def test_a_virtual_optical_drive_beside_the_disk_does_not_count(sysfs: FakeSysfs) -> None:
    sysfs.add_usb(USB)
    sysfs.add_disk(USB + "/1-2:1.0/host6/target6:0:0/6:0:0:0", "sdb", "8:16")
    sysfs.add_disk(USB + "/1-2:1.0/host6/target6:0:0/6:0:0:1", "sr0", "11:0")
    assert sysfs.switches()["sdb"] == Switch(USB + "/remove")


def test_neither_usb_nor_scsi_has_no_switch(sysfs: FakeSysfs) -> None:
    sysfs.add_disk("/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0", "nvme0n1", "259:0", scsi=False)
    assert sysfs.switches()["nvme0n1"] is None
