# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The sfdisk(8) command that makes a target fit its source, or a hint if one command is not enough. Pure."""

from __future__ import annotations

from ..discovery.model import Disk, Partition

_ENTRIES = 128 * 128  # bytes of a GPT's entry array, of which a copy and one more sector lie at the disk's end
_MBR_SECTORS = 1 << 32  # an MBR counts sectors in 32 bits
_FIRST_LOGICAL = 5


def resize(target: Disk, ours: Partition, theirs: Partition) -> str:
    """How to give the target's partition the size of the source's. With -N it keeps its start, type and UUID."""
    sector = target.logical_sector
    if ours.size % sector:
        return (
            "%s has sectors of %d bytes, of which %d bytes are no multiple: use a backup disk with smaller sectors."
            % (target.path, sector, ours.size)
        )
    if target.table == "dos" and theirs.number >= _FIRST_LOGICAL:
        return "Make the logical partition %d of %s anew in equal size, to the byte." % (theirs.number, target.path)
    after = [part for part in target.partitions if part.start > theirs.start]
    following = min(after, key=lambda part: part.start, default=None)
    room = min(_end(target), following.start if following else target.size) - theirs.start
    if ours.size > room:
        limit = "partition %d begins" % following.number if following else "%s ends" % target.path
        return "There is no room behind it, %s %d bytes after its start: make room first, or %s" % (
            limit,
            room,
            "repartition the backup disk so that both are equal to the byte.",
        )
    command = "echo 'size=%d' | sfdisk --no-reread -N %d %s" % (ours.size // sector, theirs.number, target.path)
    return "The next sync overwrites that partition. If nothing on it is needed any more, run: %s" % command


def make(ours: Partition) -> str:
    """What to make on a target that lacks a partition: the words that follow the list of what it has."""
    kind = ", type %s" % ours.parttype if ours.parttype else ""
    return " Make partition %d on it: %d bytes%s, wherever it fits." % (ours.number, ours.size, kind)


def same_layout(source: Disk, target: Disk) -> str:
    """How to give a target without partitions those of the source, with an identifier of its own."""
    end = max((part.start + part.size for part in source.partitions), default=0)
    if not end:
        return "Make the partitions that are to be synced on both disks, in equal size."
    if source.logical_sector != target.logical_sector or end > _end(target, source.table):
        return (
            "Make partitions of the same numbers, sizes and types on it, wherever they fit; "
            "sfdisk --dump %s shows those of the source." % source.path
        )
    return (
        "Give it the partitions of the source and a new PTUUID, if nothing on it is needed any more. Run: "
        "sfdisk --dump %s | sed -e '/^label-id:/d' -e '/^last-lba:/d' | sfdisk %s" % (source.path, target.path)
    )


def _end(disk: Disk, table: str | None = None) -> int:
    """The first byte behind the last partition that such a table can hold on this disk."""
    if (table or disk.table) == "gpt":
        return disk.size - disk.logical_sector - _ENTRIES
    return min(disk.size, _MBR_SECTORS * disk.logical_sector)
