# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""btrfs. Facts: struct btrfs_super_block in include/uapi/linux/btrfs_tree.h. Little-endian."""

from __future__ import annotations

import uuid

from .content import Content, Read, field, power_of_two

OFFSET, LENGTH = 65536, 4096  # bytes
MAGIC = b"_BHRfS_M"
FLAG_ERROR = 1 << 2
REPAIR = "btrfs scrub start -B MOUNTPOINT, then btrfs device stats --reset %s"


def parse(kind: str, read: Read) -> Content | None:
    """None if there is no such superblock."""
    data = read(OFFSET, LENGTH)
    if data is None or data[0x40:0x48] != MAGIC:
        return None
    sector = field(data, "<I", 0x90)
    if not power_of_two(sector, 512, 65536):
        return None
    count = field(data, "<Q", 0x88)
    return Content(
        kind,
        unit=sector,
        damage=("its superblock is marked as having errors",) if field(data, "<Q", 0x38) & FLAG_ERROR else (),
        repair=REPAIR,
        elsewhere="lies on %d devices" % count if count > 1 else "",
        uuid=str(uuid.UUID(bytes=data[0x20:0x30])),
    )


def parse_stats(text: str) -> str:
    """What a file devinfo/N/error_stats of sysfs counts, such as "write_errs 2"; empty if all is zero.

    Fact: Documentation/ABI is silent; fs/btrfs/sysfs.c, btrfs_devinfo_error_stats_show().
    """
    lines = (line.split() for line in text.splitlines())
    counted = [words for words in lines if len(words) == 2 and words[1].isdigit() and int(words[1])]
    return ", ".join(" ".join(words) for words in counted)
