# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What gives away that a target device was written since its digest was made: a digest must not be believed then.

Two witnesses. A sample of the target's bytes, from the places that a file system writes whenever it is mounted for
writing, and from all over the device. And a mark on this machine that every run renews before it writes a target, so
that a run without a digest takes the belief from all digests of that target.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from typing import Iterator

from . import durable
from .device import Device, allocate
from .digest_record import Facts
from .history import STATE_FOLDER

MARKS = os.path.join(STATE_FOLDER, "written")
PIECE = 64 * 1024
HEAD = 1024 * 1024
# Bytes: where the superblocks lie of what is inside LUKS1 (payload at 2 MiB) and LUKS2 (16 MiB), and of the first
# logical volume in there (1 MiB further).
INNER = (2 << 20, 3 << 20, 16 << 20, 17 << 20)
SPREAD = 64  # blocks from all over the device
BLOCK = 4096


def places(size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of every piece of the sample of a device of ``size`` bytes; the whole of a small one."""
    head = min(HEAD, size)
    yield 0, head
    rest = [(offset, PIECE) for offset in INNER] + [(max(0, size - PIECE) // BLOCK * BLOCK, 2 * PIECE)]
    rest += [(size // SPREAD * number // BLOCK * BLOCK, BLOCK) for number in range(1, SPREAD)]
    for offset, length in rest:
        if head <= offset < size:
            yield offset, min(length, size - offset)


def sample(target: Device) -> str:
    """A hash of the sample. Raises DeviceReadError."""
    digest = hashlib.sha256()
    buffer = allocate(HEAD)
    target.drop_cache()
    for offset, length in places(target.size):
        target.read(buffer[:length], offset)
        digest.update(buffer[:length])
    return digest.hexdigest()


class WriteMark:
    """The mark of one target, told from others by its ``identity``."""

    def __init__(self, identity: Facts, folder: str = MARKS) -> None:
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        self._path = os.path.join(folder, name)

    def read(self) -> str:
        """What the last run that wrote the target left; empty where none did."""
        try:
            with open(self._path, encoding="ascii", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return ""

    def renew(self) -> str:
        """Before the first write. Returns what went wrong, or ""."""
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            durable.replace(self._path, uuid.uuid4().hex + "\n")
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ""
