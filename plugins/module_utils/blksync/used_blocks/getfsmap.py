# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Asks the kernel for the free extents of a mounted file system (FS_IOC_GETFSMAP).

Facts: linux/fsmap.h, ioctl_getfsmap(2) and fs/ext4/fsmap.c, fs/xfs/xfs_fsmap.c of the kernel. A record names the
device (new_encode_dev) and the bytes on it that something owns. Records ascend by device and start. Those of blocks
that files share (xfs with a reverse mapping tree) overlap each other, those of free space never overlap anything.
What lies between two records, or behind the last, has an owner that the kernel does not report.
"""

from __future__ import annotations

import fcntl
import struct
from array import array
from typing import Callable, Iterable, Iterator, Union

from .errors import UnknownLayoutError

FS_IOC_GETFSMAP = 0xC0C0583B  # _IOWR('X', 59, struct fsmap_head): both ways, the same number on every architecture
FMH_OF_DEV_T = 0x1  # in the answer's head: devices are named by dev_t and not by numbers of the file system's own
FMR_OF_SPECIAL_OWNER = 0x10
FMR_OF_LAST = 0x20
FMR_OWN_FREE = 1  # FMR_OWNER(0, 1)

HEAD = 192  # bytes: struct fsmap_head, its two keys included
RECORD = 64  # bytes: struct fsmap
PAGE = 8192  # records for which the kernel is asked at a time
MOST_RECORDS = 1 << 23  # they take some seconds: too long to ask for more while it is frozen

_HEAD = struct.Struct("=4I48x")  # iflags, oflags, count, entries; reserved
_RECORD = struct.Struct("=IIQQ8xQ24x")  # device, flags, physical, owner, (offset,) length; reserved
_HIGH_KEY = struct.pack("=IIQQQ32x", 0xFFFFFFFF, 0xFFFFFFFF, 2**64 - 1, 2**64 - 1, 2**64 - 1)

Records = Union[bytes, memoryview]


def free_extents(fd: int, devno: str, size: int, least: int) -> array[int]:
    """Ask the kernel which bytes of the device ``devno`` the file system behind ``fd`` leaves free; see parse_free.

    ``size`` is the device's, in bytes. Raises OSError if the file system does not report them (ENOTTY, EOPNOTSUPP) or
    its own data are damaged, UnknownLayoutError for an answer that makes no sense.
    """
    return parse_free(pages(lambda buffer: fcntl.ioctl(fd, FS_IOC_GETFSMAP, buffer, True)), encode(devno), size, least)


def encode(devno: str) -> int:
    """A device number "major:minor" as the kernel hands it out: new_encode_dev() of linux/kdev_t.h."""
    major, _colon, minor = devno.partition(":")
    return (int(minor) & 0xFF) | int(major) << 8 | (int(minor) & ~0xFF) << 12


def pages(ask: Callable[[bytearray], object], count: int = PAGE) -> Iterator[memoryview]:
    """All records, up to ``count`` of them at a time; a page is overwritten by the next.

    ``ask`` has the kernel fill in the answer. Raises UnknownLayoutError if that makes no sense.
    """
    buffer = bytearray(HEAD + RECORD * count)
    low_key = bytes(RECORD)
    total = 0
    while True:
        _HEAD.pack_into(buffer, 0, 0, 0, count, 0)
        buffer[64:HEAD] = low_key + _HIGH_KEY
        ask(buffer)
        _iflags, oflags, _count, entries = _HEAD.unpack_from(buffer)
        if entries == 0 and total:
            return  # the page before was exactly full
        total += entries
        _check_head(oflags, entries, count, total)
        records = memoryview(buffer)[HEAD : HEAD + RECORD * entries]
        last = bytes(records[-RECORD:])
        yield records
        if _RECORD.unpack(last)[1] & FMR_OF_LAST:
            return
        if last == low_key:
            raise UnknownLayoutError("map_invalid", "the map of its free blocks has no end")
        low_key = last  # the kernel goes on behind it


def _check_head(oflags: int, entries: int, count: int, total: int) -> None:
    if not entries:
        raise UnknownLayoutError("map_invalid", "the map of its free blocks is empty")
    if entries > count:
        raise UnknownLayoutError("map_invalid", "the map of its free blocks is longer than what was asked for")
    if total > MOST_RECORDS:
        raise UnknownLayoutError("map_too_large", "the map of its free blocks has more than %d entries" % MOST_RECORDS)
    if not oflags & FMH_OF_DEV_T:
        raise UnknownLayoutError("map_invalid", "the map of its free blocks does not name devices by their numbers")


def parse_free(records: Iterable[Records], device: int, size: int, least: int) -> array[int]:
    """The free extents of the encoded ``device`` of ``size`` bytes: start, end, start, end … in bytes, ascending.

    Adjacent ones are joined; what is then shorter than ``least`` bytes is left out, which bounds the memory. Records
    of other devices (an external journal or log, a realtime section) do not count.

    Raises UnknownLayoutError for free space that overlaps anything, and for records that go backwards or leave the
    device.
    """
    found = array("Q")
    begin = end = 0  # the free extent that may still grow
    before = used_until = free_until = 0  # the last record's start, the furthest ends of what is used and what is free
    for page in records:
        for owning_device, flags, start, owner, length in _RECORD.iter_unpack(page):
            if owning_device != device:
                continue
            if start < before or start < free_until:
                raise UnknownLayoutError(
                    "map_invalid", "the map of its free blocks contradicts itself at byte %d" % start
                )
            before = start
            if owner == FMR_OWN_FREE and flags & ~FMR_OF_LAST == FMR_OF_SPECIAL_OWNER:
                free_until = start + length
                if start < used_until or free_until > size:
                    raise UnknownLayoutError(
                        "map_invalid", "the map of its free blocks contradicts itself at byte %d" % start
                    )
                if start != end:
                    _keep(found, begin, end, least)
                    begin = start
                end = free_until
            elif start + length > used_until:
                used_until = start + length
    _keep(found, begin, end, least)
    return found


def _keep(found: array[int], begin: int, end: int, least: int) -> None:
    if end - begin >= max(least, 1):
        found.extend((begin, end))
