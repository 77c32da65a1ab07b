# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Powers a disk off, so that it can be unplugged."""

from __future__ import annotations

import os

from ..discovery.model import Disk, Machine
from ..errors import BlksyncError, DeviceBusyError
from ..system import device
from . import refusals


def power_off(target: Disk, now: Machine) -> None:
    """Take the disk off its bus. Everything must have been flushed, and the caller's claims released.

    ``now`` is the machine after that. The disk is claimed while it is switched off: the claim also fails for what
    ``now`` cannot show, a mount in another mount namespace. Raises BlksyncError, and the disk is then left alone.
    """
    found = [disk for disk in now.disks if _identity(disk) == _identity(target)]
    if not found:
        raise _not_powered_off(target, "it is no longer there")
    disk = found[0]
    reasons = [refusal.message.rstrip(".") for refusal in refusals.power_off_refusals(disk)]
    if reasons or disk.switch is None:
        raise _not_powered_off(disk, "; ".join(reasons))
    try:
        with device.open_source(disk.path, disk.devno, exclusive=True), open(disk.switch.path, "wb", 0) as file:
            file.write(b"1")
    except DeviceBusyError as error:
        raise _not_powered_off(disk, error.message.rstrip(".")) from error
    except OSError as error:
        raise _not_powered_off(disk, os.strerror(error.errno or 0)) from error


def _identity(disk: Disk) -> tuple[object, ...]:
    return (disk.devno, disk.ptuuid, disk.serial, disk.wwn, disk.size)


def _not_powered_off(disk: Disk, reason: str) -> BlksyncError:
    return BlksyncError(
        "The partitions are copied, but %s was not powered off: %s." % (disk.path, reason),
        "Unmount and close what uses it, and run udisksctl power-off -b %s before you unplug it." % disk.path,
    )
