# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All bytes of all sources at the moment at which a copy put them back for the last time."""

from __future__ import annotations

import mmap
import os
from typing import Any

import pytest

from blksync.sync.pair import PairCopy
from tests.support.frozen_truth import WINDOW, FrozenTruth, sectors_written, stat_of

BLOCK = 1024  # bytes: the smallest block of the file systems here
ZEROS = bytes(BLOCK)


class FrozenSnapshot(FrozenTruth):
    """As FrozenTruth, for several sources, and with what they held rather than its hashes.

    ``discarded`` has the bytes that the kernel discarded after the copy had looked for the last time.
    """

    def __init__(self, patch: pytest.MonkeyPatch, sources: dict[int, str]) -> None:
        super().__init__(patch, next(iter(sources.values())))
        self.images: dict[int, bytes] = {}
        self.discarded: dict[int, int] = {}
        self._sources = sources
        self._seen: dict[int, int] = {}
        changes = PairCopy.changes

        def seen(copy: PairCopy, recorder: Any) -> Any:
            self._seen[copy.pair.number] = sectors_discarded(copy.pair.source.path)
            return changes(copy, recorder)

        patch.setattr(PairCopy, "changes", seen)

    def begin(self) -> None:
        """Another copy follows, whatever became of the one before."""
        self._last = False
        self.images.clear()
        self.discarded.clear()
        self._seen.clear()

    def unequal(self, number: int, target: str) -> list[int]:
        """The target's blocks that are not the source's. Where blocks were discarded late, those that the source has
        lost do not count."""
        image, other = self.images[number], read_all(target)
        if image == other:
            return []
        blocks = [at for at in range(0, len(image), BLOCK) if image[at : at + BLOCK] != other[at : at + BLOCK]]
        return [at // BLOCK for at in blocks if not (self.discarded[number] and image[at : at + BLOCK] == ZEROS)]

    def _take(self) -> None:
        written = {number: sectors_written(path) for number, path in self._sources.items()}
        for number, path in self._sources.items():
            self.images[number] = read_all(path)
        for number, path in self._sources.items():
            assert sectors_written(path) == written[number], "something was written though it was quiesced"
            self.discarded[number] = (sectors_discarded(path) - self._seen[number]) * 512
        self.taken += 1


def read_all(path: str) -> bytes:
    """As it is on the medium, whatever the code under test can read."""
    found = bytearray()
    buffer = memoryview(mmap.mmap(-1, WINDOW))
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        for position in range(0, os.lseek(fd, 0, os.SEEK_END), WINDOW):
            found += buffer[: os.preadv(fd, [buffer], position)]
    finally:
        os.close(fd)
    return bytes(found)


def sectors_discarded(path: str) -> int:
    """Documentation/block/stat.rst."""
    return int(stat_of(path)[13])
