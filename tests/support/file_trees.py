# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mounted file system in all states of use: files large and small, sparse, preallocated, deleted ones in between."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from .disks import MIB
from .pairs import noise

SMALL = 300  # files


def grow(root: Path, size: int) -> None:
    """Fill about a third of ``size`` bytes, with holes of every size between what stays."""
    directories = [root / "small", root / "small" / "deep" / "deeper", root / "large"]
    for directory in directories:
        directory.mkdir(parents=True)
    for number in range(SMALL):
        directory = directories[number % 2]
        (directory / ("file %d" % number)).write_bytes(noise(97 * number + 1, seed=number))
    for number in range(12):
        (directories[2] / str(number)).write_bytes(noise(size // 36, seed=number))
    _special_files(root)
    os.sync()  # so that the deleted ones had blocks
    for number in range(0, SMALL, 3):
        (directories[number % 2] / ("file %d" % number)).unlink()
    for number in range(1, 12, 4):
        (directories[2] / str(number)).unlink()
    (directories[2] / "late").write_bytes(noise(MIB, seed=77))


def _special_files(root: Path) -> None:
    with open(root / "sparse", "wb") as file:
        for number in range(8):
            file.seek(number * 3 * MIB)
            file.write(noise(5000 * number + 1, seed=number))
    with open(root / "preallocated", "wb") as file:
        with contextlib.suppress(OSError):  # ext2 and ext3 have none
            os.posix_fallocate(file.fileno(), 0, 2 * MIB)
        file.write(noise(100_000))
    (root / "tiny").write_bytes(b"inline")
    (root / "link").symlink_to("small/" + "x" * 100)
    os.link(root / "tiny", root / "hard link")
    with contextlib.suppress(OSError):  # not on every file system
        os.setxattr(root / "tiny", "user.note", noise(600))


def digests(root: Path) -> dict[str, str]:
    """A hash of everything in a directory: names, content, links and extended attributes."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else b""
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            content += b"".join(os.getxattr(path, name) for name in sorted(os.listxattr(path)))
        status = path.lstat()
        facts = "%o %d %d" % (status.st_mode, status.st_size, status.st_nlink)
        found[str(path.relative_to(root))] = "%s %s" % (facts, hashlib.sha256(content).hexdigest())
    return found
