# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block devices that refuse direct I/O. Linux has none to try, so the system calls of this process are refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any


def refuse_to_open(paths: Collection[str]) -> Callable[..., int]:
    """What to put in the place of os.open: open(2) with O_DIRECT fails for these paths."""
    real = os.open

    def opened(path: str, flags: int, *others: Any, **named: Any) -> int:
        if flags & os.O_DIRECT and path in paths:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return real(path, flags, *others, **named)

    return opened


def refuse_to_read(path: str) -> Callable[[int, Sequence[Any], int], int]:
    """What to put in the place of os.preadv: the path opens with O_DIRECT, and every read past the cache fails."""
    real = os.preadv

    def read(fd: int, buffers: Sequence[Any], offset: int) -> int:
        if os.readlink("/proc/self/fd/%d" % fd) == path:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, buffers, offset)

    return read
