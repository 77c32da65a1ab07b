# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The I/O priority of a thread: ioprio_set(2), which the C library does not offer.

With the class "idle" a request may wait as long as others are served: mq-deadline (since Linux 5.14) keeps it for up
to 10 seconds (prio_aging_expire), BFQ lets about one such request through in 200 ms (BFQ_CL_IDLE_TIMEOUT). While file
systems are frozen that would be far too slow. Threads and processes inherit the priority (copy_io() in kernel/fork.c).
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

IDLE = 3 << 13  # linux/ioprio.h: the class is above 13 bits of level and hints
BEST_EFFORT = 2 << 13 | 4  # what a process has that was given nothing else
_CLASS = 7 << 13
_THIS_THREAD = (1, 0)  # IOPRIO_WHO_PROCESS, 0
# The numbers of ioprio_set and ioprio_get for 64-bit processes (asm/unistd.h). On other machines nothing is changed.
_NUMBERS = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "loongarch64": (30, 31),
    "ppc64le": (273, 274),
}
_SET, _GET = _NUMBERS.get(platform.machine(), (0, 0)) if sys.maxsize > 1 << 32 else (0, 0)
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def get() -> int | None:
    """The priority of this thread; None if it is not known."""
    return _call(_GET) if _GET else None


def put(priority: int) -> str:
    """Give this thread a priority that get() has returned. Returns why that cannot be done, or ""."""
    return "" if _call(_SET, priority) is not None else os.strerror(ctypes.get_errno())


def leave_idle() -> str:
    """Give this thread, and what it starts later, the usual class if its class is idle. Returns as put() does."""
    now = get()
    return put(BEST_EFFORT) if now is not None and now & _CLASS == IDLE else ""


def _call(number: int, *value: int) -> int | None:
    arguments = [ctypes.c_long(each) for each in (number, *_THIS_THREAD, *value)]
    result = int(_LIBC.syscall(*arguments))
    return None if result < 0 else result
