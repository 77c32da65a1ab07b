# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds devices that hold the same bytes without being stacked on each other, by the place of their bytes. Pure.

A loop device with an offset over a whole disk holds bytes of its partitions, and two loop devices over one file hold
the same ones. The kernel names neither as a holder of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from .sysfs import BlockDevice


@dataclass(frozen=True)
class Extent:
    """Bytes ``start`` up to ``end`` of ``medium``: a disk's name, or a loop device's file."""

    medium: object
    start: int
    end: int

    def overlaps(self, other: Extent) -> bool:
        """Whether they have a byte in common."""
        return self.medium == other.medium and self.start < other.end and other.start < self.end

    def is_content_of(self, other: Extent) -> bool:
        """Whether it begins where ``other`` begins, whatever its end, or lies in it: it belongs to that alone.

        ``mount -o loop,offset=N`` gives a loop device up to the end of the disk, if no size is named.
        """
        return self.overlaps(other) and (
            self.start == other.start or (self.start > other.start and self.end <= other.end)
        )


def extents(devices: Mapping[str, BlockDevice], within: Mapping[str, str]) -> dict[str, Extent]:
    """Where the bytes of each disk, partition and loop device lie; other devices are a medium of their own.

    ``within`` names the device that a partition, or a loop device over a device's node, is a range of. Left out are
    partitions whose place the kernel does not report (those that the device mapper makes).
    """
    found = {name: _extent(name, devices, within, ()) for name in devices}
    return {name: extent for name, extent in found.items() if extent}


def _extent(
    name: str, devices: Mapping[str, BlockDevice], within: Mapping[str, str], passed: tuple[str, ...]
) -> Extent | None:
    device = devices[name]
    offset = device.start if device.kind == "partition" else device.offset
    if name in passed or offset is None:
        return None
    if name in within:
        parent = _extent(within[name], devices, within, (*passed, name))
        return Extent(parent.medium, parent.start + offset, parent.start + offset + device.size) if parent else None
    if device.kind == "loop":
        file = (device.backing.device, device.backing.inode) if device.backing else device.backing_file
        return Extent(file, offset, offset + device.size)
    return None if device.kind == "partition" else Extent(name, 0, device.size)
