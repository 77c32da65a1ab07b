# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images: a partition table with a chosen identifier, BIOS boot code, and partitions filled from images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .host import BIOS_BOOT_CODE, run
from .image import ESP_MIB, MIB, ROOT_MIB, SystemImage

Label = Literal["dos", "gpt"]

_TYPES = {
    "dos": {"esp": "ef, bootable", "linux": "83"},
    "gpt": {"esp": "uefi, attrs=LegacyBIOSBootable", "linux": "linux"},
}
THIRD_MIB = 32
_BOOT_CODE_SIZE = 440  # of the first sector; the rest is the disk identifier and the partition table


@dataclass(frozen=True)
class Partition:
    """One partition: where it starts and its size in MiB, and the image that fills it (None: left empty)."""

    start: int
    size: int
    content: Path | None = None
    kind: Literal["esp", "linux"] = "linux"


def disk_identifier(digit: int, label: Label) -> str:
    """Return the disk identifier made of one digit: 11111111, or for GPT the GUID of that digit."""
    d = str(digit)
    return d * 8 if label == "dos" else f"{d * 8}-{d * 4}-4{d * 3}-8{d * 3}-{d * 12}"


def main_partitions(image: SystemImage) -> list[Partition]:
    """Return the partitions of a main disk that boots `image`."""
    return [Partition(1, ESP_MIB, image.esp, "esp"), Partition(1 + ESP_MIB, ROOT_MIB, image.root)]


def backup_partitions(third: Path | None = None) -> list[Partition]:
    """Return the partitions of a backup disk: the same sizes elsewhere and empty, and a third one with own data."""
    return [Partition(4, ESP_MIB, None, "esp"), Partition(100, ROOT_MIB), Partition(1000, THIRD_MIB, third)]


def assemble(path: Path, label: Label, identifier: str, size: int, partitions: Sequence[Partition]) -> Path:
    """Write a raw disk image of `size` MiB to `path` and return it.

    The boot code for BIOS lies outside all partitions, so every disk gets it: copying partitions never brings it.
    """
    path.unlink(missing_ok=True)
    with path.open("wb") as new:
        new.truncate(size * MIB)
    run("sfdisk", "--quiet", path, input=_table(label, identifier, partitions))
    boot_code = BIOS_BOOT_CODE[label].read_bytes()[:_BOOT_CODE_SIZE]
    with path.open("r+b") as disk:
        disk.write(boot_code)
        for partition in partitions:
            if partition.content:
                _copy_sparse(partition.content, disk.fileno(), partition.start * MIB)
    return path


def overlay(base: Path, path: Path) -> Path:
    """Make a new qcow2 overlay at `path` over the image `base`, which stays as it is, and return it."""
    path.unlink(missing_ok=True)
    driver = "qcow2" if base.suffix == ".qcow2" else "raw"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", driver, "-b", base.resolve(), path)
    return path


def read_partition(disk: Path, partition: Partition, work: Path) -> bytes:
    """Return the bytes of a partition of a raw or qcow2 disk image that no machine is using."""
    raw = work / "read.raw"
    run(
        "qemu-img",
        "dd",
        "-O",
        "raw",
        f"if={disk}",
        f"of={raw}",
        f"bs={MIB}",
        f"skip={partition.start}",
        f"count={partition.start + partition.size}",
    )
    content = raw.read_bytes()
    raw.unlink()
    return content


def _table(label: Label, identifier: str, partitions: Sequence[Partition]) -> str:
    """Return the input of sfdisk."""
    lines = [f"label: {label}", f"label-id: {'0x' if label == 'dos' else ''}{identifier}"]
    lines += [f"start={p.start}MiB, size={p.size}MiB, type={_TYPES[label][p.kind]}" for p in partitions]
    return "\n".join(lines) + "\n"


def _copy_sparse(source: Path, target: int, offset: int) -> None:
    """Copy the data of a sparse file, not its holes, into the open file `target` at `offset` bytes."""
    with source.open("rb") as file:
        end, position = os.fstat(file.fileno()).st_size, 0
        while position < end:
            try:
                position = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole up to the end
                return
            stop = os.lseek(file.fileno(), position, os.SEEK_HOLE)
            while position < stop:
                position += os.copy_file_range(file.fileno(), target, stop - position, position, offset + position)
