# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The partitions that a table on the medium describes, numbered as the kernel numbers them.

Facts: block/partitions/msdos.c and efi.c of the kernel; UEFI specification 2.10, chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, NamedTuple

Read = Callable[[int, int], "bytes | None"]


@dataclass(frozen=True)
class Entry:
    """One partition of a table, in bytes. ``size`` is None for an extended one: the kernel shows only its beginning."""

    number: int
    start: int
    size: int | None


class Known(NamedTuple):
    """One partition as the kernel knows it, in bytes."""

    number: int
    start: int
    size: int


def differing(entries: Iterable[Entry], known: Iterable[Known]) -> tuple[int, ...]:
    """The numbers of the partitions that table and kernel do not agree on, missing ones of either side included."""
    listed, seen = {entry.number: entry for entry in entries}, {each.number: each for each in known}
    return tuple(n for n in sorted({*listed, *seen}) if not _agree(listed.get(n), seen.get(n)))


def _agree(listed: Entry | None, seen: Known | None) -> bool:
    if listed is None or seen is None:
        return False
    return listed.start == seen.start and listed.size in (None, seen.size)


def clipped(entries: Iterable[Entry], size: int) -> tuple[Entry, ...]:
    """As the kernel takes them on a disk of that size: cut at its end, and none that begins beyond it."""
    return tuple(
        Entry(entry.number, entry.start, None if entry.size is None else min(entry.size, size - entry.start))
        for entry in entries
        if entry.start < size
    )
