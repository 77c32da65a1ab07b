# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of loop devices of one size for testing engines: filled and read back through their backing files."""

from __future__ import annotations

import functools
import random
import threading
from contextlib import ExitStack

from .disks import SECTOR, LoopDevice, run


class LoopPair:
    """A source and a target of ``size`` bytes (whole sectors of ``sector`` bytes); a context manager."""

    def __init__(self, size: int, sector: int = SECTOR) -> None:
        self.sector = sector
        with ExitStack() as stack:
            self.source = stack.enter_context(LoopDevice(size, sector=sector, name="source"))
            self.target = stack.enter_context(LoopDevice(size, sector=sector, name="target"))
            self._devices = stack.pop_all()

    def __enter__(self) -> LoopPair:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._devices.close()

    def fill(self, source: bytes, target: bytes) -> None:
        """Give both devices these contents, and their length as the new size."""
        for device, content in ((self.source, source), (self.target, target)):
            with open(device.file, "r+b") as file:
                file.write(content)
                file.truncate()
            if device.size != len(content):
                device.size = len(content)
                run("losetup", "-c", device.path)
            run("blockdev", "--flushbufs", device.path)  # nobody keeps the former content

    def contents(self) -> tuple[bytes, bytes]:
        """What the media hold, whatever the page cache of the devices says."""
        return self.source.file.read_bytes(), self.target.file.read_bytes()


@functools.lru_cache(maxsize=4)
def noise(size: int, seed: int = 1) -> bytes:
    """``size`` random bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def with_changes(content: bytes, offsets: list[int]) -> bytes:
    """The content with the byte at every offset changed."""
    changed = bytearray(content)
    for offset in offsets:
        changed[offset] ^= 0xFF
    return bytes(changed)


def changed_bytes(first: bytes, second: bytes, block: int) -> int:
    """How many bytes lie in the blocks in which the contents differ; the last block may be short."""
    return sum(
        len(first[at : at + block])
        for at in range(0, len(first), block)
        if first[at : at + block] != second[at : at + block]
    )


def engine_threads() -> list[threading.Thread]:
    """The native engine's threads that are still there."""
    return [thread for thread in threading.enumerate() if thread.name == "blksync"]
