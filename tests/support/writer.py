# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that writes files and fsyncs each, all the time, and says which are safe.

python -m tests.support.writer DIR
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

from .parent import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
KEEP = 200  # files; the oldest is then written anew


def content_of(number: int) -> bytes:
    """What file ``number`` holds: some kilobytes that no other has."""
    return hashlib.sha256(b"%d" % number).digest() * (1 + number * 37 % 400)


def main(directory: str) -> None:
    """Write until killed; a number on standard output is a file that was fsynced together with its directory."""
    end_with_parent()
    opened = os.open(directory, os.O_RDONLY)
    for number in itertools.count():
        fd = os.open(os.path.join(directory, "file-%d" % number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, content_of(number))
        os.fsync(fd)
        os.close(fd)
        os.fsync(opened)
        print(number, flush=True)
        if number >= KEEP:
            # Append to what nobody checks, so that the file system does not fill.
            with open(os.path.join(directory, "churn"), "w", encoding="ascii") as churn:
                churn.write("x" * (number * 4096 % 1_000_000))
            os.unlink(os.path.join(directory, "file-%d" % number))


class Writer:
    """The test's side; a context manager that ends the process."""

    def __init__(self, directory: Path) -> None:
        argv = [sys.executable, "-m", "tests.support.writer", str(directory)]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._safe: list[int] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()  # by then thawed, or it would not die
        self._process.communicate()

    def wait_for_files(self, count: int) -> None:
        """Until so many files in all are safe."""
        assert self._process.stdout is not None
        while len(self._safe) < count:
            line = self._process.stdout.readline()
            assert line, "the writer has ended"
            self._safe.append(int(line))

    def durable(self) -> dict[str, bytes]:
        """Names and content of all files that were safe when wait_for_files() returned."""
        return {"file-%d" % number: content_of(number) for number in self._safe if number < KEEP}


if __name__ == "__main__":
    main(sys.argv[1])
