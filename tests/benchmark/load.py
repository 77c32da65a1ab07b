# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that write to a mounted file system.

python -m tests.benchmark.load steady FILE BYTES_PER_SECOND     until it is killed
python -m tests.benchmark.load busy FILE SECONDS                prints how many writes of 4 KiB it made
"""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.support.disks import MIB
from tests.tooling.paths import ROOT

SIZE = 64 * MIB  # of the file
PIECE = 64 * 1024
BLOCK = 4096


def steady(path: str, rate: int) -> None:
    """Write pieces here and there, through the page cache, so many bytes a second."""
    fd = os.open(path, os.O_RDWR)
    noise, rng = os.urandom(PIECE), random.Random(0)
    started, written = time.monotonic(), 0
    while True:
        os.pwrite(fd, noise, rng.randrange(SIZE // PIECE) * PIECE)
        written += PIECE
        time.sleep(max(0.0, started + written / rate - time.monotonic()))


def busy(path: str, seconds: float) -> int:
    """Write blocks here and there past the page cache, as quickly as the device takes them; how many."""
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    block, rng, count = mmap.mmap(-1, BLOCK), random.Random(0), 0
    places = [rng.randrange(SIZE // BLOCK) * BLOCK for _number in range(4096)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for place in places[:256]:
            os.pwrite(fd, block, place)
        count += 256
    return count


class Load:
    """One of them, on a file that is there in full. A context manager that ends the process."""

    def __init__(self, kind: str, path: Path, amount: float) -> None:
        if not path.exists():
            path.write_bytes(os.urandom(SIZE))
        os.sync()
        argv = [sys.executable, "-m", "tests.benchmark.load", kind, str(path), str(amount)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def writes(self) -> int:
        """What a busy one prints at its end."""
        assert self.process.stdout is not None
        return int(self.process.stdout.read())


if __name__ == "__main__":
    _program, what, file, amount = sys.argv
    if what == "steady":
        steady(file, int(float(amount)))
    else:
        print(busy(file, float(amount)))
