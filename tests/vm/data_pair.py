# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small pair of USB disks beside the system's own: what faults are tried on, so that each takes seconds."""

from __future__ import annotations

import random
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .disk import Partition, assemble
from .faulty_disk import FaultyDisk
from .host import run
from .image import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .hardware import UsbDisk
    from .machine import Machine

SOURCE_ID, TARGET_ID = "33333333", "44444444"
SIZE = 32
SOURCE_START, TARGET_START = 1, 3  # MiB: the partitions lie at different places
MOUNT_POINT = "/srv"


@dataclass(frozen=True)
class DataPair:
    """Two disks with one partition each; that of the source holds an ext4 which is mounted at /srv."""

    source: FaultyDisk
    target: FaultyDisk

    @property
    def source_usb(self) -> UsbDisk:
        """The source as it is plugged in."""
        return self.source.as_usb("source", "SOURCEDISK0003", 3)

    @property
    def target_usb(self) -> UsbDisk:
        """The target as it is plugged in."""
        return self.target.as_usb("target", "TARGETDISK0004", 4)

    def plug(self, machine: Machine) -> None:
        """Plug in what is not, without faults, and nothing mounted."""
        for usb in (self.source_usb, self.target_usb):
            if usb not in machine.disks:
                machine.plug(usb)

    def source_bytes(self) -> bytes:
        """Return the source partition, as it is on the medium."""
        return self.source.image.read_bytes()[SOURCE_START * MIB :][: SIZE * MIB]

    def target_bytes(self) -> bytes:
        """Return the target partition, as it is on the medium."""
        return self.target.image.read_bytes()[TARGET_START * MIB :][: SIZE * MIB]


@contextmanager
def plugged_pair(
    machine: Machine, directory: Path, target_content: Callable[[bytes], bytes] | None = None
) -> Iterator[DataPair]:
    """Plug a new pair in and mount the source; at the end unmount and unplug it.

    The target partition is empty, or what `target_content` makes of the source partition's bytes.
    """
    content = _source_content(directory)
    source = assemble(directory / "source.raw", "dos", SOURCE_ID, SIZE + 2, [Partition(SOURCE_START, SIZE, content)])
    old = None
    if target_content:
        old = directory / "old-target.img"
        old.write_bytes(target_content(content.read_bytes()))
    target = assemble(directory / "target.raw", "dos", TARGET_ID, SIZE + 4, [Partition(TARGET_START, SIZE, old)])
    with ExitStack() as stack:
        pair = DataPair(stack.enter_context(FaultyDisk(source)), stack.enter_context(FaultyDisk(target)))
        pair.plug(machine)
        machine.ssh.run(f"mount {pair.source_usb.by_id}-part1 {MOUNT_POINT}")
        try:
            yield pair
        finally:
            if machine.running():
                machine.ssh.attempt(f"umount {MOUNT_POINT}")
                for usb in (pair.source_usb, pair.target_usb):
                    if usb in machine.disks:
                        machine.unplug(usb.name)


def _source_content(directory: Path) -> Path:
    """Make an ext4 of the partition's size, three quarters of it full of bytes that nothing else holds."""
    files = directory / "files"
    files.mkdir()
    for n in range(6):
        (files / f"file{n}").write_bytes(random.Random(n).randbytes(4 * MIB))
    image = directory / "source.ext4"
    run("mke2fs", "-q", "-t", "ext4", "-d", files, image, f"{SIZE}M")
    return image
