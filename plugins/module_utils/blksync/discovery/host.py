# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The access of discovery to the system: sysfs, /proc, links in /dev, lsblk, blkid, and the first sectors of a disk.

If a device vanishes or a program is missing, nothing is raised: the value is None or empty.
"""

from __future__ import annotations

import os
import stat
from typing import Iterator

from ..errors import BlksyncError
from ..system import programs
from ..system.device import device_number, open_source
from .loops import Backing, read_backing

PROGRAM_PATIENCE = 60.0  # seconds; a disk that spins up first may take many
LINK_DIRS = ("/dev/disk/by-id", "/dev/disk/by-path", "/dev")


class System:
    """The running machine. A test replaces it by one that answers from a recording."""

    def text(self, path: str) -> str | None:
        """A small file's content without its last line end, or None. Bytes that are no UTF-8 are surrogate-escaped."""
        try:
            with open(path, "rb") as file:
                return os.fsdecode(file.read()).rstrip("\n")
        except OSError:
            return None

    def names(self, directory: str) -> list[str]:
        """The sorted names in a directory; empty if there is none."""
        try:
            return sorted(os.listdir(directory))
        except OSError:
            return []

    def realpath(self, path: str) -> str:
        """The path with every symbolic link resolved."""
        return os.path.realpath(path)

    def device_number(self, path: str) -> str | None:
        """``"major:minor"`` of the block device that ``path`` leads to, or None if it leads to none."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return device_number(status) if stat.S_ISBLK(status.st_mode) else None

    def may_read(self, path: str) -> bool:
        """Whether this user may open what is at a path, if anything is."""
        return os.access(path, os.R_OK) or not os.path.exists(path)

    def backing(self, path: str, devno: str) -> Backing | None:
        """What a loop device is made of, or None."""
        return read_backing(path, devno)

    def identity(self, path: str) -> tuple[int, int] | None:
        """st_dev and st_ino of what is at a path, or None."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return status.st_dev, status.st_ino

    def links(self) -> dict[str, str]:
        """Lasting names of block devices: each symbolic link of LINK_DIRS to the ``"major:minor"`` behind it."""
        return dict(self._links())

    def _links(self) -> Iterator[tuple[str, str]]:
        for directory in LINK_DIRS:
            for name in self.names(directory):
                path = "%s/%s" % (directory, name)
                devno = self.device_number(path) if os.path.islink(path) else None
                if devno:
                    yield path, devno

    def run(self, *argv: str) -> str | None:
        """A program's standard output, or None if it is missing or does not end.

        Its exit status is not looked at: blkid's is that of one device among many.
        """
        program = programs.find(argv[0])
        if not program:
            return None
        try:
            return os.fsdecode(programs.run((program, *argv[1:]), PROGRAM_PATIENCE).stdout)
        except OSError:
            return None

    def read(self, path: str, devno: str, offset: int, length: int) -> bytes | None:
        """``length`` bytes of a block device at ``offset`` (both whole logical sectors), or None."""
        try:
            with open_source(path, devno) as device:
                return device.read_bytes(offset, length)
        except (BlksyncError, OSError):
            return None
