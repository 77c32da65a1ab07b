# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the blocks that differ between two buffers, as merged extents. Pure: no device, no thread.

libc's memcmp through ctypes compares at the speed of memory.
"""

from __future__ import annotations

import ctypes
from typing import Callable, List

from ...ranges import Extent


def _load(library: ctypes.CDLL) -> Callable[[int, int, int], int]:
    function = library.memcmp
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    function.restype = ctypes.c_int
    return function


# CDLL lets other threads run during the call, PyDLL does not: giving the interpreter lock up and getting
# it back costs more than comparing one block.
_memcmp_large = _load(ctypes.CDLL(None))
_memcmp_small = _load(ctypes.PyDLL(None))


Same = Callable[[int, int], bool]  # whether `length` bytes at `start` are the same in both buffers

GROUP = 16  # blocks that are compared at once before they are looked at one by one


def changed_extents(source: memoryview, target: memoryview, block: int) -> list[Extent]:
    """The blocks of ``block`` bytes in which two writable buffers of one length differ, neighbours merged.

    The last block may be short. Runs are in ascending order and neither overlap nor touch.
    """
    length = len(source)
    if not length:
        return []
    large, small = _comparisons(source, target)
    if large(0, length):
        return []
    extents: List[Extent] = []
    start = end = 0  # of the extent that is growing
    for group in range(0, length, block * GROUP):
        group_end = min(group + block * GROUP, length)
        if small(group, group_end - group):
            continue
        for offset in range(group, group_end, block):
            size = min(block, group_end - offset)
            if small(offset, size):
                continue
            if offset != end:
                if end > start:
                    extents.append(Extent(start, end - start))
                start = offset
            end = offset + size
    extents.append(Extent(start, end - start))
    return extents


def _comparisons(source: memoryview, target: memoryview) -> tuple[Same, Same]:
    first = ctypes.addressof(ctypes.c_char.from_buffer(source))
    second = ctypes.addressof(ctypes.c_char.from_buffer(target))

    def large(start: int, length: int) -> bool:
        return _memcmp_large(first + start, second + start, length) == 0

    def small(start: int, length: int) -> bool:
        return _memcmp_small(first + start, second + start, length) == 0

    return large, small
