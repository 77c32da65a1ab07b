# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Identifies a device by more than its number ("8:2"), which another disk may get after this one is unplugged."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ..system.device import device_number

SYSFS = "/sys/dev/block"
SECTOR = 512  # sysfs counts in these, whatever the disk's own sectors are
# Magic number and UUID, each with its offset in bytes: ext4 (Documentation/filesystems/ext4, super block), xfs
# (fs/xfs/libxfs/xfs_format.h), btrfs (include/uapi/linux/btrfs_tree.h), FAT32 and FAT16 (uapi/linux/msdos_fs.h).
_SUPERBLOCKS = (
    (0x438, b"\x53\xef", 0x468, 16),
    (0, b"XFSB", 32, 16),
    (0x10040, b"_BHRfS_M", 0x10020, 16),
    (0x52, b"FAT32", 0x43, 4),
    (0x36, b"FAT1", 0x27, 4),
)
_HEAD = 0x10048  # bytes that hold all of them


@dataclass(frozen=True)
class Identity:
    """A block device beyond its number; 0 and "" are not known.

    ``diskseq`` numbers the disks since the kernel started, each number is given once (Linux 5.15,
    Documentation/ABI/stable/sysfs-block). ``start`` and ``size`` are bytes. ``uuid`` is the file system's, in
    hexadecimal digits.
    """

    diskseq: int = 0
    start: int = 0
    size: int = 0
    uuid: str = ""

    def is_same(self, other: Identity) -> bool:
        """Whether nothing that is known of both differs. A device may grow: its size counts only without the rest."""
        facts = [(self.diskseq, other.diskseq), (self.start, other.start), (self.uuid, other.uuid)]
        if not all(facts[0]) or not all(facts[2]):
            facts.append((self.size, other.size))
        return all(ours == theirs for ours, theirs in facts if ours and theirs)


def observe(devno: str, path: str = "", sysfs: str = SYSFS) -> Identity | None:
    """The device that has the number now, None if there is none. ``path`` is the node that leads to it, if any."""
    directory = os.path.join(sysfs, devno)
    if not devno or not os.path.isdir(directory):
        return None
    return Identity(
        # A partition lies in the directory of its disk, which has the number.
        diskseq=_number(os.path.join(directory, "diskseq")) or _number(os.path.join(directory, "..", "diskseq")),
        start=_number(os.path.join(directory, "start")) * SECTOR,
        size=_number(os.path.join(directory, "size")) * SECTOR,
        uuid=_read_uuid(path, devno) if path else "",
    )


def uuid_of(head: bytes) -> str:
    """The UUID of the file system that begins so, or ""."""
    for magic_at, magic, uuid_at, length in _SUPERBLOCKS:
        if head[magic_at : magic_at + len(magic)] == magic:
            return head[uuid_at : uuid_at + length].hex()
    return ""


def is_node(path: str, devno: str) -> bool:
    """Whether the path leads to the block device of that number."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISBLK(status.st_mode) and device_number(status) == devno


def _read_uuid(path: str, devno: str) -> str:
    if not is_node(path, devno):
        return ""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return uuid_of(os.pread(fd, _HEAD, 0))
    except OSError:
        return ""
    finally:
        os.close(fd)


def _number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
