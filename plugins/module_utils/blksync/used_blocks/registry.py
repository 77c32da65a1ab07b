# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which reader gives the free extents of which file system."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from .getfsmap import free_extents

# (descriptor of a directory, devno, bytes of the device, least bytes of an extent) to start, end, start, end ... in
# bytes, ascending. Raises OSError, UnknownLayoutError.
FreeExtents = Callable[[int, str, int, int], Sequence[int]]

READERS: Mapping[str, FreeExtents] = {
    "ext4": free_extents,
    "ext3": free_extents,  # the kernel's ext4 may serve this one and ext2
    "ext2": free_extents,
    "xfs": free_extents,
}
