# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""XFS. Facts: struct xfs_dsb in fs/xfs/libxfs/xfs_format.h. Big-endian."""

from __future__ import annotations

from .content import Content, Read, field, power_of_two

LENGTH = 512  # bytes
MAGIC = b"XFSB"
NEEDSREPAIR = 1 << 4  # sb_features_incompat
ZONED = 1 << 9  # its realtime section may be a part of the same device
REPAIR = "xfs_repair %s, while it is not mounted"


def parse(kind: str, read: Read) -> Content | None:
    """None if there is no such superblock."""
    data = read(0, LENGTH)
    if data is None or data[:4] != MAGIC:
        return None
    sector = field(data, ">H", 102)
    if not power_of_two(sector, 512, 32768):
        return None
    features = field(data, ">I", 216) if field(data, ">H", 100) & 0xF == 5 else 0
    damage = ["it is marked as in need of repair"] if features & NEEDSREPAIR else []
    if data[126]:  # sb_inprogress
        damage.append("mkfs.xfs did not finish it")
    return Content(kind, unit=sector, damage=tuple(damage), repair=REPAIR, elsewhere=_elsewhere(data, features))


def _elsewhere(data: bytes, features: int) -> str:
    if not field(data, ">Q", 48):  # sb_logstart
        return "has its log on another device"
    inside = features & ZONED and field(data, ">Q", 288)  # sb_rtstart
    if field(data, ">Q", 16) and not inside:  # sb_rblocks
        return "has its realtime section on another device"
    return ""
