# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Power a disk off through sysfs, so that it can be pulled out.

Facts: writing 1 to a USB device's ``remove`` (Documentation/ABI/testing/sysfs-bus-usb) or to a SCSI device's
``delete`` flushes its cache and takes it off the bus; what udisks does to power a drive off.
"""

from __future__ import annotations

import os

from .errors import BlksyncError, InvalidRequestError
from .machine import Disk

SYSFS_BLOCK = "/sys/class/block"


def check(disk: Disk) -> None:
    """Raise InvalidRequestError where the disk is of a kind that cannot be powered off."""
    if _switch(disk) is None:
        raise InvalidRequestError(
            "eject: %s cannot be powered off by software." % disk.describe(), "Leave eject out for this disk."
        )


def power_off(disk: Disk) -> None:
    """Take the disk off its bus. Everything must have been flushed, and nothing may hold it any more."""
    switch = _switch(disk)
    if switch is None:
        return
    try:
        with open(switch, "w", encoding="ascii") as file:
            file.write("1")
    except OSError as error:
        raise BlksyncError(
            "The copy is complete, but %s could not be powered off: %s." % (disk.path, error.strerror),
            "Run udisksctl power-off -b %s before you unplug it." % disk.path,
        ) from error


def _switch(disk: Disk) -> str | None:
    """The sysfs file that powers the disk off, or None."""
    at = os.path.realpath(os.path.join(SYSFS_BLOCK, disk.name, "device"))
    scsi = os.path.join(at, "delete")
    while len(at) > len("/sys/devices"):
        if os.path.exists(os.path.join(at, "idVendor")) and os.path.exists(os.path.join(at, "remove")):
            return os.path.join(at, "remove")
        at = os.path.dirname(at)
    return scsi if os.path.exists(scsi) else None
