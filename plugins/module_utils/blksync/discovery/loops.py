# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Asks the kernel which file is behind a loop device. Its path may be removed, hidden or that of another file."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass

from ..system.device import device_number

LOOP_GET_STATUS64 = 0x4C05  # linux/loop.h
_INFO = struct.Struct("=5Q4I64s64s32s2Q")  # struct loop_info64, 232 bytes


@dataclass(frozen=True)
class Backing:
    """``device`` and ``inode`` are st_dev and st_ino of the file that is attached (lo_device, lo_inode).

    ``devno`` is the block device whose node that is (lo_rdevice), "" for a regular file.
    """

    device: int
    inode: int
    devno: str = ""

    @property
    def filesystem(self) -> str:
        """The device number of the file system that the file lies on."""
        return filesystem(self.device)


def filesystem(device: int) -> str:
    """``"major:minor"`` of an st_dev; btrfs gives each subvolume one of its own, which no mount has."""
    return "%d:%d" % (os.major(device), os.minor(device))


def read_backing(path: str, devno: str) -> Backing | None:
    """Of the loop device ``path``; None if it cannot be opened or is no longer the device number ``devno``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if device_number(os.fstat(fd)) != devno:
            return None
        return parse(fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(_INFO.size)))
    except OSError:  # detached just now
        return None
    finally:
        os.close(fd)


def parse(info: bytes) -> Backing:
    """``struct loop_info64``. The kernel writes device numbers as user space does (huge_encode_dev)."""
    device, inode, rdevice = _INFO.unpack(info)[:3]
    return Backing(device, inode, filesystem(rdevice) if rdevice else "")
