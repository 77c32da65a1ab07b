# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds out how a disk can be powered off through sysfs, and which other disks are powered off with it.

Facts: a USB device's ``remove`` (Documentation/ABI/testing/sysfs-bus-usb) removes everything below that device from
the bus; a SCSI device's ``delete`` removes only that device. udisks powers a drive off in the same way.
"""

from __future__ import annotations

from typing import Iterable

from .host import System
from .model import Switch
from .sysfs import BLOCK, BlockDevice

DEVICES = "/sys/devices"


def find_switch(system: System, device: BlockDevice, devices: Iterable[BlockDevice]) -> Switch | None:
    """The switch of ``device``, one of ``devices``; None if it has none.

    Optical drives do not count as others: USB disks bring a virtual one with their software on it.
    """
    at = device.directory
    while at.startswith(DEVICES + "/"):
        if {"idVendor", "remove"}.issubset(system.names(at)):
            below = (other for other in devices if other.directory.startswith(at + "/") and other.kind == "disk")
            return Switch("%s/remove" % at, tuple(other.name for other in below if other.name != device.name))
        at = at.rpartition("/")[0]
    scsi = system.realpath("%s/%s/device" % (BLOCK, device.name))
    return Switch("%s/delete" % scsi) if "delete" in system.names(scsi) else None
