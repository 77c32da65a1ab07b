# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""All runs of every door, one JSON object a line in /var/lib/blksync/history.jsonl, the newest last.

Only one run at a time may add its line: the file is replaced when the oldest lines go, and what another run appends to
the old file in that moment would be lost. The lock is a file of its own that nobody else can open, or hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Iterable, Iterator

from ..errors import RecordError
from ..paths import STATE_DIR
from ..system import atomic_file, private_dir
from .run import Run, from_line, to_line

NAME = "history.jsonl"
LOCK = "history.lock"
LONGEST = 5000  # lines; then the older half goes. What must not be forgotten is in the records
LARGEST = 4 * 1024 * 1024  # bytes; likewise


def append(run: Run, directory: str = "") -> None:
    """Add one line, on the medium when this returns, and drop the oldest if there are too many.

    Raises RecordError, UntrustedError.
    """
    path = _path(directory)
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with _alone(os.path.dirname(path)):
            atomic_file.append_line(path, to_line(run))
            content = atomic_file.read(path)
            if content.count(b"\n") > LONGEST or len(content) > LARGEST:
                atomic_file.replace(path, newer(content))
    except OSError as error:
        raise RecordError(
            "The run cannot be added to the history %s: %s." % (path, os.strerror(error.errno or 0)),
            "Make room there, or mount it for writing.",
        ) from error


def read(directory: str = "") -> list[Run]:
    """All runs, the newest last. A line that a power cut tore is left out. Raises RecordError."""
    path = _path(directory)
    try:
        return parse(atomic_file.read(path).decode("utf-8", "replace").splitlines())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError("The history %s cannot be read: %s." % (path, os.strerror(error.errno or 0))) from error


def parse(lines: Iterable[str]) -> list[Run]:
    """The runs in those lines that are whole."""
    runs = (from_line(line) for line in lines)
    return [run for run in runs if run]


def newer(content: bytes) -> bytes:
    """The newer half of the lines."""
    lines = content.splitlines(keepends=True)
    return b"".join(lines[len(lines) // 2 :])


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """Wait for whoever adds a line now. Raises UntrustedError, OSError."""
    fd = private_dir.open_file(None, os.path.join(directory, LOCK), os.path.join(directory, LOCK))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _path(directory: str) -> str:
    return os.path.join(directory or STATE_DIR, NAME)
