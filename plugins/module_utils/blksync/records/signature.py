# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a partition looks like, in a few bytes that everybody changes who mounts it for writing. Pure.

Linux writes the superblock of ext2, ext3 and ext4 when it mounts them for writing (ext4_setup_super() in
fs/ext4/super.c counts the mount), and that of btrfs with each transaction (fs/btrfs/disk-io.c). xfs writes its
superblock when the log is covered or the file system unmounted (fs/xfs/xfs_log.c, fs/xfs/xfs_mount.c); vfat marks a
volume as dirty while it is mounted (fat_set_state() in fs/fat/inode.c) and changes its tables with each file that
grows or vanishes. In LUKS the same bytes change, encrypted, at the same place after the header.

xfs writes its superblock even when it is mounted read-only: the place in the log and the checksum (sb_lsn and sb_crc of
struct xfs_dsb in fs/xfs/libxfs/xfs_format.h), and at the first mount the numbers of quota inodes that are not there.
These are left out, as long as the superblock is not encrypted.

So the signature covers the beginning of the partition, of the payload of LUKS, and the tables of FAT. Without a mount
in between it is equal; a change that left these bytes alone is not seen.
"""

from __future__ import annotations

import hashlib
from typing import Iterator

from ..ranges import Range
from ..superblocks import fat
from ..superblocks.content import Read
from ..used_blocks import luks
from ..used_blocks.errors import UnknownLayoutError

XFS_MAGIC = b"XFSB"
XFS_CHANGING = (slice(160, 176), slice(224, 228), slice(232, 248))  # uquotino, gquotino; crc; pquotino, lsn
BEGINNING = 132 * 1024  # bytes: the superblock of btrfs, the last one, ends at 68 KiB; LVM keeps its metadata behind
MOST_TABLES = 64 * 1024 * 1024  # bytes
_CHUNK = 1024 * 1024  # bytes read at once
_ALIGNED = 4096  # bytes: any read begins and ends there


def take(read: Read, size: int) -> str | None:
    """The signature of a partition of ``size`` bytes, None if it cannot be read.

    ``read`` gives bytes at an offset; both it and the length are multiples of 4096, or end with the partition.
    """
    digest = hashlib.blake2b(digest_size=20)
    try:
        for window in _windows(read, size):
            digest.update(b"%d+%d;" % (window.offset, window.length))
            end = window.offset + window.length
            for offset in range(window.offset, end, _CHUNK):
                digest.update(_lasting(_some(read, offset, min(_CHUNK, end - offset))))
    except _UnreadableError:
        return None
    return digest.hexdigest()


def _lasting(data: bytes) -> bytes:
    """The bytes without what even a read-only mount of xfs changes."""
    if not data.startswith(XFS_MAGIC):
        return data
    lasting = bytearray(data)
    for place in XFS_CHANGING:
        lasting[place] = bytes(place.stop - place.start)
    return bytes(lasting)


class _UnreadableError(Exception):
    pass


def _some(read: Read, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if data is None or len(data) != length:
        raise _UnreadableError
    return data


def _windows(read: Read, size: int) -> Iterator[Range]:
    """What is looked at, in ascending order."""
    beginning = min(size, BEGINNING)
    tables = fat.tables_end(_some(read, 0, min(size, _ALIGNED)))
    if beginning < tables <= min(size, MOST_TABLES):
        beginning = min(size, -(-tables // _ALIGNED) * _ALIGNED)
    yield Range(0, beginning)
    payload = _payload(read, size)
    if payload is not None and beginning <= payload < size:
        yield Range(payload, min(size - payload, BEGINNING))


def _payload(read: Read, size: int) -> int | None:
    """Where the payload of LUKS begins, None for a partition without one, or with a header that is not understood."""

    def within(offset: int, length: int) -> bytes:
        if offset + length > size:
            raise UnknownLayoutError("luks_header_invalid", "its LUKS header is longer than the partition")
        return _some(read, offset, length)

    try:
        payload = luks.parse_header(within).payload
    except UnknownLayoutError:
        return None
    return payload // _ALIGNED * _ALIGNED
