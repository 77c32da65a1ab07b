# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that writes to a file system in every way there is, at random, until it is killed.

    python -m tests.support.mixed_writer DIR SEED BYTES_PER_SECOND

It needs some 16 MiB. What the file system refuses, such as trimming, it leaves out.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from .parent import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
LARGE = 4 * 1024 * 1024  # bytes of each of the two files that are written in place
SMALL_FILES = 60
FITRIM = 0xC0185879  # linux/fs.h
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16  # linux/falloc.h
PAGE = 4096
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class MixedLoad:
    """The ways to write; each returns the bytes that count for the rate."""

    def __init__(self, directory: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._dir = directory
        self._large = os.open(self._path("large"), os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._large, LARGE)
        self._direct = os.open(self._path("direct"), os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        os.ftruncate(self._direct, LARGE)
        self._mapped = mmap.mmap(self._large, LARGE)
        self._aligned = mmap.mmap(-1, 16 * PAGE)
        self._root = os.open(directory, os.O_RDONLY)
        self.ways: dict[Callable[[], int], int] = {
            self.buffered: 30,
            self.direct: 20,
            self.mapped: 15,
            self.small_file: 15,
            self.remove: 8,
            self.rename: 4,
            self.truncate: 4,
            self.fallocate: 6,
            self.fsync_storm: 1,
            self.trim: 1,
        }

    def once(self) -> int:
        """Write in some way; the bytes. What is refused counts as a page."""
        (way,) = self._random.choices(list(self.ways), list(self.ways.values()))
        with contextlib.suppress(OSError):
            return way()
        return PAGE

    def buffered(self) -> int:
        data = self._data()
        return os.pwrite(self._large, data, self._random.randrange(LARGE - len(data)))

    def direct(self) -> int:
        pages = self._random.randint(1, 16)
        self._aligned[:] = os.urandom(len(self._aligned))
        place = self._random.randrange(LARGE // PAGE - pages) * PAGE
        return os.pwritev(self._direct, [memoryview(self._aligned)[: pages * PAGE]], place)

    def mapped(self) -> int:
        data = self._data()
        place = self._random.randrange(LARGE - len(data))
        self._mapped[place : place + len(data)] = data
        return len(data)

    def small_file(self) -> int:
        fd = os.open(self._small(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            count = os.write(fd, self._data())
            if self._random.random() < 0.2:
                os.fsync(fd)
        finally:
            os.close(fd)
        return count

    def remove(self) -> int:
        os.unlink(self._small())
        return PAGE

    def rename(self) -> int:
        os.rename(self._small(), self._small())
        return PAGE

    def truncate(self) -> int:
        path = self._small()
        os.truncate(path, self._random.randrange(os.stat(path).st_size + PAGE))
        return PAGE

    def fallocate(self) -> int:
        mode = self._random.choice((0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, KEEP_SIZE | ZERO_RANGE))
        length = self._random.randint(1, 16) * PAGE
        fd = self._random.choice((self._large, self._direct))
        LIBC.fallocate(fd, mode, self._random.randrange((LARGE - length) // PAGE) * PAGE, length)
        return length

    def fsync_storm(self) -> int:
        for _turn in range(10):
            os.pwrite(self._large, os.urandom(100), self._random.randrange(LARGE - 100))
            os.fsync(self._large)
        return 10 * PAGE

    def trim(self) -> int:
        """Discard what is free: at most once in some hundred writes, as it takes its time."""
        fcntl.ioctl(self._root, FITRIM, struct.pack("QQQ", 0, 2**64 - 1, 0))
        return 64 * PAGE

    def _data(self) -> bytes:
        return os.urandom(self._random.choice((100, PAGE, 4 * PAGE, 16 * PAGE)))

    def _small(self) -> str:
        return self._path("small-%d" % self._random.randrange(SMALL_FILES))

    def _path(self, name: str) -> str:
        return os.path.join(self._dir, name)


def main(directory: str, seed: int, rate: float) -> None:
    """Write until killed, no more than ``rate`` bytes a second; a line on standard output says that it has begun."""
    end_with_parent()
    load = MixedLoad(directory, seed)
    begun, done = time.monotonic(), 0
    for turn in range(sys.maxsize):
        done += load.once()
        if turn == 50:
            print("begun", flush=True)
        ahead = done / rate - (time.monotonic() - begun)
        if ahead > 0:
            time.sleep(ahead)


class MixedWriter:
    """The test's side; a context manager that ends the process. ``rate`` is in bytes a second."""

    def __init__(self, directory: Path, seed: int, rate: float) -> None:
        argv = [sys.executable, "-m", "tests.support.mixed_writer", str(directory), str(seed), str(rate)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_exc: object) -> None:
        ended = self.process.poll()
        self.process.kill()  # by then thawed, or it would not die
        self.process.communicate()
        assert ended is None, "the writer ended by itself"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
