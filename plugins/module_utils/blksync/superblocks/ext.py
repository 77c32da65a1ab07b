# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""ext2, ext3, ext4 and their external journals. Facts: struct ext4_super_block in fs/ext4/ext4.h. Little-endian."""

from __future__ import annotations

import time
import uuid

from .content import Content, Read, field

OFFSET, LENGTH = 1024, 1024  # bytes
MAGIC = 0xEF53
ERROR_FS = 0x2  # s_state
HAS_JOURNAL = 0x4  # s_feature_compat
JOURNAL_DEV = 0x8  # s_feature_incompat
LARGEST_SHIFT = 6  # blocks of 64 KiB
REPAIR = "e2fsck -f %s, while it is not mounted"


def parse(kind: str, read: Read) -> Content | None:
    """None if there is no such superblock."""
    data = read(OFFSET, LENGTH)
    if data is None or field(data, "<H", 0x38) != MAGIC:
        return None
    shift = field(data, "<I", 0x18)
    if shift > LARGEST_SHIFT:
        return None
    return Content(kind, unit=1024 << shift, damage=tuple(_damage(data)), repair=REPAIR, elsewhere=_elsewhere(data))


def _damage(data: bytes) -> list[str]:
    """e2fsck clears both."""
    found = []
    if field(data, "<H", 0x3A) & ERROR_FS:
        found.append("its superblock is marked as having errors")
    count = field(data, "<I", 0x194)
    if count:
        found.append("its superblock counts %d, %s" % (count, _last_error(data)))
    return found


def _last_error(data: bytes) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(field(data, "<I", 0x1CC)))
    function = data[0x1E0:0x200].partition(b"\0")[0].decode("ascii", "replace")
    return "the last at %s in %s" % (when, function if function.isidentifier() else "an unknown place")


def _elsewhere(data: bytes) -> str:
    if field(data, "<I", 0x60) & JOURNAL_DEV:
        return "is the journal of a file system on another device"
    if field(data, "<I", 0x5C) & HAS_JOURNAL and not field(data, "<I", 0xE0):  # s_journal_inum
        return "has its journal (UUID %s) on another device" % uuid.UUID(bytes=data[0xD0:0xE0])
    return ""
