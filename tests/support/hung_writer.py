# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write(2) that does not end, as on a device that hangs: the page to write is one that nobody ever provides."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from .mounted import wait_for

# userfaultfd(2): what is read from the registered page waits for whoever serves the descriptor.
PROGRAM = """
import ctypes, fcntl, mmap, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: end with the parent
USERFAULTFD, UFFDIO_API, UFFDIO_REGISTER, MISSING = 323, 0xC018AA3F, 0xC020AA00, 1
uffd = libc.syscall(USERFAULTFD, os.O_CLOEXEC)
fcntl.ioctl(uffd, UFFDIO_API, bytearray(struct.pack("QQQ", 0xAA, 0, 0)))
page = mmap.mmap(-1, mmap.PAGESIZE)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
fcntl.ioctl(uffd, UFFDIO_REGISTER, bytearray(struct.pack("QQQQ", address, mmap.PAGESIZE, MISSING, 0)))
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
libc.write(fd, ctypes.c_void_p(address), mmap.PAGESIZE)
"""
WRITE = "1 "  # of x86_64, as USERFAULTFD is


def possible() -> bool:
    """The numbers of the system calls are those of one architecture."""
    return platform.machine() == "x86_64"


class HungWriter:
    """Sits inside write() to a file below ``directory`` until end(). A context manager."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(directory / "hung")])
        wait_for(lambda: self._state().startswith(WRITE), state=self._state)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def _state(self) -> str:
        assert self._process.poll() is None, "the writer could not begin"
        return Path("/proc/%d/syscall" % self._process.pid).read_text()

    def end(self) -> None:
        """The write fails and is over."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> HungWriter:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()
