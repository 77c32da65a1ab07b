# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the running machine: nothing fails because something is missing, vanishes or cannot be read."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from blksync.discovery.host import System
from blksync.discovery.observe import observe
from blksync.discovery.sysfs import read_device
from blksync.errors import BlksyncError
from tests.support.recording import RecordedSystem, Recorder, record

MACHINES = Path(__file__).parent / "machines"


class FakeVanishing(RecordedSystem):
    """A recorded machine from which devices vanish while it is being looked at."""

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory)
        self.chance = random.Random(seed)

    def text(self, path: str) -> str | None:
        if path.startswith("/sys/") and self.chance.random() < 0.02:
            self.sysfs.remove_section("/".join(path.split("/")[:5]))
        return super().text(path)

    def read(self, path: str, devno: str, offset: int, length: int) -> bytes | None:
        return None


@pytest.mark.parametrize("name", ["md-raid1", "nvme-lvm-on-luks", "usb-bridges-luks"])
def test_vanishing_devices_are_left_out(name: str) -> None:
    whole = {disk.path for disk in observe(RecordedSystem(MACHINES / name)).disks}
    found = [observe(FakeVanishing(MACHINES / name, seed)) for seed in range(100)]
    assert all({disk.path for disk in machine.disks} <= whole for machine in found)
    assert any({disk.path for disk in machine.disks} < whole for machine in found)


def test_without_lsblk_and_blkid_the_structure_stays(tmp_path: Path) -> None:
    directory = MACHINES / "md-raid1"
    for name in ("sysfs.ini", "mountinfo", "swaps"):
        (tmp_path / name).write_text((directory / name).read_text())
    disk = observe(RecordedSystem(tmp_path)).disks[1]
    assert (disk.path, disk.model, disk.serial) == ("/dev/sda", "WDC WD40EFRX-68N", "WD-WCC7K0ABC0XY")
    assert (disk.wwn, disk.transport, disk.ptuuid) == ("0x50014ee2b0a1b2c3", "sata", None)
    assert [mount.mountpoint for mount in disk.partitions[1].all_mounts()] == ["/", "/mnt/disk one"]


def test_the_table_is_believed_before_udev(tmp_path: Path) -> None:
    directory = MACHINES / "usb-bridges-luks"
    for file in directory.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "sectors.txt").write_text("/dev/sdb 0 512 440:33333333 510:55aa\n")
    identifiers = {disk.path: disk.ptuuid for disk in observe(RecordedSystem(tmp_path)).disks}
    assert identifiers == {"/dev/loop0": None, "/dev/sda": "11111111", "/dev/sdb": "33333333"}


def test_unreadable_mounts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BlksyncError, match="/proc/self/mountinfo"):
        observe(RecordedSystem(tmp_path))


@pytest.mark.parametrize(
    ("real", "attributes", "serial"),
    [
        ("/sys/devices/pci0/usb1/1-4/1-4.2/1-4.2:1.0/host1/target1/1:0:0:0/block/sda", {}, "BRIDGE"),
        ("/sys/devices/pci0/usb1/1-9/1-9:1.0/host1/target1/1:0:0:0/block/sda", {}, None),
        (
            "/sys/devices/pci0/usb1/1-9/1-9:1.0/host1/target1/1:0:0:0/block/sda",
            {"device/vpd_pg80": "\0\0\0\4 S1 "},
            "S1",
        ),
        ("/sys/devices/pci0/virtio1/block/vda", {"serial": "data"}, "data"),
        ("/sys/devices/pci0/nvme/nvme0/nvme0n1", {"device/serial": " N1  "}, "N1"),
        ("/sys/devices/pci0/ata1/host0/target0/0:0:0:0/block/sda", {"device/vpd_pg80": "\0\0"}, None),
    ],
)
def test_serial_without_udev(tmp_path: Path, real: str, attributes: dict[str, str], serial: str | None) -> None:
    system = RecordedSystem(tmp_path)
    system.sysfs.read_dict({"/sys/class/block/sda": {"@": real, "dev": "8:0", "size": "8", **attributes}})
    system.sysfs.read_dict({"/sys/devices/pci0/usb1/1-4/1-4.2": {"serial": "BRIDGE"}})
    device = read_device(system, "sda")
    assert device is not None
    assert device.serial == serial


@pytest.mark.parametrize(
    ("name", "attributes", "path", "kind"),
    [
        ("cciss!c0d0", {"dev": "104:0"}, "/dev/cciss/c0d0", "disk"),
        ("dm-3", {"dm/name": "luks-x", "dm/uuid": "CRYPT-LUKS2-ab-luks-x"}, "/dev/mapper/luks-x", "crypt"),
        ("dm-3", {"dm/name": "vg-lv", "dm/uuid": "LVM-abc"}, "/dev/mapper/vg-lv", "lvm"),
        ("dm-3", {"dm/name": "flaky"}, "/dev/mapper/flaky", "dm"),
        ("bcache0", {}, "/dev/bcache0", "bcache"),
        ("sr0", {"dev": "11:0"}, "/dev/sr0", "other"),
        ("fd0", {"dev": "2:0"}, "/dev/fd0", "other"),
        ("mmcblk0boot1", {"dev": "179:64"}, "/dev/mmcblk0boot1", "other"),
        ("nbd0", {"dev": "43:0"}, "/dev/nbd0", "disk"),
    ],
)
def test_kinds_and_paths(tmp_path: Path, name: str, attributes: dict[str, str], path: str, kind: str) -> None:
    system = RecordedSystem(tmp_path)
    system.sysfs.read_dict({"/sys/class/block/" + name: {"dev": "8:0", "size": "8", **attributes}})
    device = read_device(system, name)
    assert device is not None
    assert (device.path, device.kind) == (path, kind)


def test_programs_speak_c_and_missing_ones_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    system = System()
    assert system.run(sys.executable, "-c", "import os; print(os.environ['LC_ALL'])") == "C\n"
    assert system.run("no-such-program-of-blksync") is None


def test_what_is_not_there(tmp_path: Path) -> None:
    system = System()
    assert system.text(str(tmp_path / "nothing")) is None
    assert system.text(str(tmp_path)) is None
    assert system.names(str(tmp_path / "nothing")) == []
    assert system.device_number("/dev/no-such-device") is None
    assert system.device_number(str(tmp_path)) is None
    assert system.read("/dev/no-such-device", "8:0", 0, 512) is None


def test_file_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    (tmp_path / "backing_file").write_bytes(b"/mnt/caf\xe9.img\n")
    text = System().text(str(tmp_path / "backing_file"))
    assert text is not None
    assert os.fsencode(text) == b"/mnt/caf\xe9.img"


def test_a_recording_tells_the_same_as_the_machine(tmp_path: Path) -> None:
    directory = tmp_path / "this-machine"
    recorder = Recorder(directory)
    there = observe(recorder)
    recorder.save()
    assert observe(RecordedSystem(directory)) == there
    record(tmp_path / "again")
