# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Block devices as sysfs shows them (Documentation/ABI/stable/sysfs-block in the kernel's source)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .host import System
from .loops import Backing

BLOCK = "/sys/class/block"
SECTOR = 512  # sysfs counts sizes and starts in these, whatever the disk's own sectors are

# Majors of devices that are no disks (Documentation/admin-guide/devices.txt): RAM disks, floppies, optical drives.
_NO_DISK_MAJORS = ("1", "2", "11")
_NO_DISK_NAMES = re.compile(r"zram\d+$|mmcblk\d+(boot\d+|rpmb|gp\d+)$")
_DM_KINDS = (("CRYPT-", "crypt"), ("LVM-", "lvm"), ("mpath-", "mpath"), ("DMRAID-", "raid"))
_TRANSPORTS = (("/usb", "usb"), ("/nvme", "nvme"), ("/ata", "sata"), ("/mmc_host/", "mmc"), ("/virtio", "virtio"))


@dataclass(frozen=True)
class BlockDevice:
    """One block device. Sizes and offsets are bytes; ``below`` are names of the devices that it is made of.

    ``kind`` is "disk", "partition", "loop", "other" (no disk: RAM, floppy, optical), or a holder's kind as in
    ``model.Holder``. ``number`` is a partition's, else 0. ``directory`` is its own in sysfs, links resolved.
    A loop device begins at ``offset`` of ``backing_file``; ``backing`` is None if the kernel does not report it.
    """

    name: str
    path: str
    devno: str
    kind: str
    size: int
    number: int = 0
    start: int | None = 0
    diskseq: int = 0
    below: tuple[str, ...] = ()
    read_only: bool = False
    removable: bool = False
    rotational: bool = False
    logical_sector: int = SECTOR
    physical_sector: int = SECTOR
    model: str | None = None
    vendor: str | None = None
    serial: str | None = None
    wwn: str | None = None
    transport: str | None = None
    backing_file: str | None = None
    backing: Backing | None = None
    offset: int = 0
    directory: str = ""


def read_devices(system: System) -> dict[str, BlockDevice]:
    """Every block device with a size by its kernel name; a device that vanishes is left out."""
    found = (read_device(system, name) for name in system.names(BLOCK))
    return {device.name: device for device in found if device is not None}


def read_device(system: System, name: str) -> BlockDevice | None:
    """One device, or None if it is gone, hidden (without a device number) or without a medium."""
    attributes = _Attributes(system, name)
    devno, size = attributes.text("dev"), attributes.number("size") * SECTOR
    if not devno or not size:
        return None
    real = system.realpath("%s/%s" % (BLOCK, name))
    dm_uuid = attributes.text("dm/uuid") or ""
    dm_partition = re.match(r"part(\d+)-", dm_uuid)
    number = int(dm_partition.group(1)) if dm_partition else attributes.number("partition")
    kind = "partition" if number else _kind(name, devno, dm_uuid, attributes)
    parent = (real.split("/")[-2],) if number and not dm_partition else ()
    path = _path(name, attributes.text("dm/name"))
    device = BlockDevice(
        name=name,
        path=path,
        devno=devno,
        kind=kind,
        size=size,
        number=number,
        start=None if dm_partition else attributes.number("start") * SECTOR,
        diskseq=attributes.number("diskseq"),
        below=parent or attributes.names("slaves"),
        read_only=attributes.flag("ro"),
        removable=attributes.flag("removable"),
        rotational=attributes.flag("queue/rotational"),
        logical_sector=attributes.number("queue/logical_block_size") or SECTOR,
        physical_sector=attributes.number("queue/physical_block_size") or SECTOR,
        model=attributes.text("device/model") or attributes.text("device/name"),
        vendor=attributes.text("device/vendor"),
        serial=_serial(system, attributes, real),
        wwn=_wwn(attributes.text("wwid") or attributes.text("device/wwid") or ""),
        transport=next((word for part, word in _TRANSPORTS if part in real), None),
        backing_file=system.text("%s/%s/loop/backing_file" % (BLOCK, name)),  # blanks at its ends are part of it
        backing=system.backing(path, devno) if kind == "loop" else None,
        offset=attributes.number("loop/offset"),
        directory=real,
    )
    # A device that went away in between would look like another kind of device.
    return device if attributes.text("dev") == devno else None


class _Attributes:
    """The files below one device's directory in sysfs."""

    def __init__(self, system: System, name: str) -> None:
        self.system = system
        self.directory = "%s/%s" % (BLOCK, name)

    def text(self, attribute: str) -> str | None:
        return (self.system.text("%s/%s" % (self.directory, attribute)) or "").strip() or None

    def number(self, attribute: str) -> int:
        text = self.text(attribute) or ""
        return int(text) if text.isdigit() else 0

    def flag(self, attribute: str) -> bool:
        return self.number(attribute) != 0

    def names(self, directory: str) -> tuple[str, ...]:
        return tuple(self.system.names("%s/%s" % (self.directory, directory)))


def _path(name: str, dm_name: str | None) -> str:
    # sysfs cannot have a slash in a name and writes "!": cciss!c0d0 is /dev/cciss/c0d0.
    return "/dev/mapper/%s" % dm_name if dm_name else "/dev/%s" % name.replace("!", "/")


def _kind(name: str, devno: str, dm_uuid: str, attributes: _Attributes) -> str:
    if devno.partition(":")[0] in _NO_DISK_MAJORS or _NO_DISK_NAMES.match(name):
        return "other"
    if attributes.text("dm/name"):
        return next((kind for prefix, kind in _DM_KINDS if dm_uuid.startswith(prefix)), "dm")
    if name.startswith("loop"):
        return "loop"
    if name.startswith("bcache"):
        return "bcache"
    if attributes.names("md"):
        return "raid"
    return "dm" if attributes.names("slaves") else "disk"


def _serial(system: System, attributes: _Attributes, real: str) -> str | None:
    """The serial number as udev would give it: a USB bridge's own first, then NVMe's and MMC's, virtio's, SCSI's."""
    usb = re.match(r"(.*/usb\d+/(?:.*/)?[\d.-]+)/[\d.-]+:\d+\.\d+/", real)
    if usb:
        serial = (system.text("%s/serial" % usb.group(1)) or "").strip()
        if serial:
            return serial
    return attributes.text("device/serial") or attributes.text("serial") or _vpd_serial(attributes)


def _vpd_serial(attributes: _Attributes) -> str | None:
    """SCSI's vital product data page 0x80: four bytes of header, then the serial number (SPC-4, 7.8.14)."""
    page = attributes.system.text("%s/device/vpd_pg80" % attributes.directory) or ""
    return page[4:].strip(" \0\n") or None


def _wwn(wwid: str) -> str | None:
    """The kernel's wwid in lsblk's writing; other kinds ("t10.ATA …") are made up of model and serial."""
    if wwid.startswith("naa."):
        return "0x%s" % wwid[4:]
    return wwid if wwid.startswith(("eui.", "uuid.", "nvme.")) else None
