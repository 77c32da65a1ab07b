# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads the superblocks on a source and the error counts of the running kernel. Read-only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterator

from ..discovery.host import System
from ..discovery.model import Holder, Partition
from ..discovery.probes import BLKID, parse_blkid
from . import btrfs
from .content import Content, Read
from .registry import GPT, KNOWN, parse

LARGEST_SECTOR = 4096  # bytes: reads are widened to these


@dataclass(frozen=True)
class Observed:
    """One device and its content; ``inner`` are the devices stacked on it (LUKS mappings, logical volumes)."""

    path: str
    content: Content
    mounted: bool = False
    inner: tuple[Observed, ...] = ()

    def tree(self) -> Iterator[Observed]:
        """This one and all that are stacked on it."""
        yield self
        for each in self.inner:
            yield from each.tree()


def observe(device: Partition | Holder, system: System) -> Observed:
    """What lies on a source (which may be an image file) and on everything stacked on it.

    Loop devices are left out: their file is one of the file system's files. Nothing is raised: what cannot be read is
    unknown.
    """

    def read(offset: int, length: int) -> bytes | None:
        skip = offset % LARGEST_SECTOR
        whole = -(-(skip + length) // LARGEST_SECTOR) * LARGEST_SECTOR
        data = system.read(device.path, device.devno, offset - skip, whole)
        return None if data is None else data[skip : skip + length]

    content = parse(_kind(device, read, system), read)
    counted = _counted(device, content, system)
    if counted and not content.damage:
        content = replace(content, damage=(counted,))
    inner = tuple(observe(holder, system) for holder in device.holders if holder.kind != "loop")
    return Observed(device.path, content, bool(device.mounts), inner)


def logical_sector(devno: str, system: System) -> int:
    """The logical sectors' size in bytes of a block device; 0 for a file, whose ``devno`` is empty."""
    for queue in ("queue", "../queue") if devno else ():
        text = system.text("/sys/dev/block/%s/%s/logical_block_size" % (devno, queue))
        if text and text.isdigit():
            return int(text)
    return 0


def _kind(device: Partition | Holder, read: Read, system: System) -> str:
    """As it is mounted, else what blkid recognises now; udev's database may be older than the content."""
    for mount in device.mounts:
        if mount.fstype in KNOWN:
            return mount.fstype
    facts = parse_blkid(system.run(*BLKID, device.path) or "").get(device.path)
    if facts and facts.fstype:
        return facts.fstype
    # blkid takes a file's sectors to have 512 bytes, and calls the table of an image of larger ones PMBR.
    return GPT if parse(GPT, read).unit else (facts and facts.table) or ""


def _counted(device: Partition | Holder, content: Content, system: System) -> str:
    """The errors that the kernel has counted of a file system that is mounted, as a part of a sentence.

    Facts: Documentation/ABI/testing/sysfs-fs-ext4 (errors_count); fs/btrfs/sysfs.c (error_stats).
    """
    if content.uuid:
        directory = "/sys/fs/btrfs/%s/devinfo" % content.uuid
        stats = (system.text("%s/%s/error_stats" % (directory, name)) for name in system.names(directory))
        reported = [counted for counted in (btrfs.parse_stats(text or "") for text in stats) if counted]
        return "the kernel has counted %s" % ", ".join(reported) if reported else ""
    count = system.text("/sys/fs/ext4/%s/errors_count" % device.name) if device.mounts else None
    return "the kernel has counted %s" % count if count and count.isdigit() and int(count) else ""
