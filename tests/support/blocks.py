# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write to, read from and compare real block devices on the medium, whatever the page cache says."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.disks import PartitionedDisk, run


def fill(path: str, offset: int = 0, length: int | None = None) -> None:
    """Write random bytes from ``offset`` on, ``length`` of them or to the end."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(offset)
        file.write(os.urandom(size - offset if length is None else length))
        file.flush()
        os.fsync(file.fileno())
    run("blockdev", "--flushbufs", path)


def content(path: str) -> bytes:
    """Return every byte of a device."""
    run("blockdev", "--flushbufs", path)
    return Path(path).read_bytes()


def assert_equal(source: PartitionedDisk, target: PartitionedDisk) -> None:
    """Fail unless partitions 1 and 2 of two disks hold the same bytes."""
    for number in (1, 2):
        assert content(source.partition(number)) == content(target.partition(number)), f"partition {number} differs"
