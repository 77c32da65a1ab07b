# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""System calls that Python does not offer: mount, umount2, syncfs, mlockall, prctl.

The library is loaded with this module, long before anything is frozen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_LIBC.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)

# linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_NOEXEC = 1 << 3
MS_SYNCHRONOUS = 1 << 4
MS_REMOUNT = 1 << 5
MS_MANDLOCK = 1 << 6
MS_DIRSYNC = 1 << 7
MS_NOSYMFOLLOW = 1 << 8
MS_NOATIME = 1 << 10
MS_NODIRATIME = 1 << 11
MS_BIND = 1 << 12
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25
UMOUNT_NOFOLLOW = 8

_MCL_CURRENT, _MCL_FUTURE = 1, 2  # asm-generic/mman.h
_CAP_IPC_LOCK = 14  # linux/capability.h
_PR_SET_NAME = 15  # linux/prctl.h


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str = "") -> None:
    """mount(2); raises OSError."""
    _check(_LIBC.mount(_bytes(source), _bytes(target), _bytes(fstype), flags, _bytes(data or None)), target)


def unmount(target: str) -> None:
    """umount2(2) of the topmost mount at target, never lazily; raises OSError."""
    _check(_LIBC.umount2(_bytes(target), UMOUNT_NOFOLLOW), target)


def sync_filesystem(fd: int) -> None:
    """syncfs(2): write what the file system behind fd still keeps in memory; raises OSError."""
    _check(_LIBC.syncfs(fd), "")


def lock_memory() -> str:
    """Keep this process in memory, now and later. Returns why that cannot be had, or "" where it can.

    The lock is not inherited over fork(2). Without CAP_IPC_LOCK later memory is left out: a limit on it
    (RLIMIT_MEMLOCK) would make every allocation beyond fail.
    """
    if _LIBC.mlockall(_MCL_CURRENT | (_MCL_FUTURE if _has_capability(_CAP_IPC_LOCK) else 0)):
        return os.strerror(ctypes.get_errno())
    return ""


def unlock_memory() -> None:
    """Undo lock_memory()."""
    _LIBC.munlockall()


def set_process_name(name: str) -> None:
    """What ps shows, at most 15 bytes."""
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def _has_capability(number: int) -> bool:
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _check(result: int, path: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
