# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disposable real block devices: loop devices over files in memory, with partition tables.

Loop devices belong to the whole machine: every one made here is remembered and detached by its own object,
and no other is ever touched.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Self, Sequence

from . import owner
from .waiting import PATIENCE, wait_for

SECTOR = 512
MIB = 1024 * 1024
MEMORY = Path("/dev/shm")


def missing_for_loop_devices() -> str:
    """What this machine lacks for tests on loop devices, in a few words; empty where nothing is missing."""
    if os.geteuid() != 0:
        return "root is needed for loop devices"
    if not os.path.exists("/dev/loop-control"):
        return "no /dev/loop-control: this machine has no loop devices"
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode:
        return "losetup finds no free loop device"
    return ""


class LoopDevice:
    """One loop device over one file; a context manager that detaches and deletes both."""

    def __init__(self, size: int, directory: Path | None = None, sector: int = SECTOR, name: str = "disk") -> None:
        # The name tells tests.support.leftovers whose it is.
        fd, path = tempfile.mkstemp(prefix=owner.image_prefix(name), suffix=".img", dir=directory or MEMORY)
        os.ftruncate(fd, size)
        os.close(fd)
        self.file = Path(path)
        self.size = size
        self.path = run("losetup", "-f", "--show", "-b", str(sector), path).strip()
        # The device keeps its switches when its file goes, and with them what a test that was killed left.
        Path("/sys/class/block", self.name, "queue/iostats").write_text("1")

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def devno(self) -> str:
        status = os.stat(self.path)
        return "%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))

    def bytes_written(self) -> int:
        """What the block layer has written to the device so far (Documentation/block/stat.rst, field 7)."""
        return int(Path("/sys/class/block", self.name, "stat").read_text().split()[6]) * SECTOR

    def close(self) -> None:
        if self.path:
            drop_partitions(self.path)
            run("losetup", "-d", self.path)
            self.path = ""
        self.file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class PartitionedDisk(LoopDevice):
    """A loop device with a partition table.

    ``sizes`` are the partitions' sizes in sectors of 512 bytes, ``identifier`` the PTUUID ("11111111" or a GUID),
    ``table`` "dos" or "gpt". ``gap`` sectors stay free before each partition, so that two disks of the same
    sizes need not have the same layout. ``types`` are as sfdisk takes them; without them all are Linux. ``sector`` is
    the logical sectors' size in bytes.
    """

    def __init__(
        self,
        identifier: str,
        sizes: Sequence[int],
        table: str = "dos",
        gap: int = 2048,
        spare: int = 4096,
        directory: Path | None = None,
        types: Sequence[str] = (),
        sector: int = SECTOR,
    ) -> None:
        self.identifier = identifier
        starts, at = [], gap
        for size in sizes:
            starts.append(at)
            at += size + gap
        super().__init__((at + spare) * SECTOR, directory, sector, name=identifier)
        try:
            label = "0x%s" % identifier if table == "dos" else identifier
            lines = ["label: %s" % table, "label-id: %s" % label, "unit: sectors"]
            each = sector // SECTOR
            lines += ["start=%d, size=%d" % (at // each, size // each) for at, size in zip(starts, sizes, strict=True)]
            lines = [*lines[:3], *map(", type=".join, zip(lines[3:], types, strict=True))] if types else lines
            run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", self.path, stdin="\n".join(lines) + "\n")
            drop_partitions(self.path)
            run("partx", "-a", self.path)
        except BaseException:
            self.close()
            raise

    def partition(self, number: int) -> str:
        """The device node of a partition, from the kernel's own names."""
        for entry in Path("/sys/class/block").joinpath(self.name).iterdir():
            number_file = entry / "partition"
            if number_file.is_file() and int(number_file.read_text()) == number:
                return "/dev/%s" % entry.name
        raise LookupError("%s has no partition %d" % (self.path, number))


def identifiers() -> tuple[str, str]:
    """PTUUIDs for a source and a target that no other test process of this machine uses at the same time."""
    return "5c%06x" % (os.getpid() % 2**24), "7a%06x" % (os.getpid() % 2**24)


def drop_partitions(path: str, seconds: float = PATIENCE) -> None:
    """Make the kernel forget a loop device's partitions, those that its last user left behind included.

    Whoever lists disks just now may hold one of them open for a moment.
    """

    def dropped() -> bool:
        if list(Path("/sys/class/block", os.path.basename(path)).glob("*/partition")):
            subprocess.run(["partx", "-d", path], capture_output=True, check=False)
        return not list(Path("/sys/class/block", os.path.basename(path)).glob("*/partition"))

    wait_for(dropped, seconds, lambda: "the partitions of %s are in use" % path)


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a program and return its standard output; its errors are in the exception."""
    result = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError("%s: exit %d: %s" % (" ".join(argv), result.returncode, result.stderr.strip()))
    return result.stdout
