# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Freezing a file system: FIFREEZE, FITHAW (linux/fs.h).

While it is frozen every write to it waits in the kernel, uninterruptibly; reading goes on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform

from ..errors import QuiesceError, RestoreError
from . import libc
from .measure import Measure, NotPossibleError
from .mounting import read_mounts

# _IOWR('X', 119, int) and _IOWR('X', 120, int); the direction bits differ on these architectures (asm/ioctl.h).
_DIRECTION = 0x60045800 if platform.machine().startswith(("ppc", "mips", "sparc", "alpha")) else 0xC0045800
FIFREEZE, FITHAW = _DIRECTION | 0x77, _DIRECTION | 0x78


class Freeze(Measure):
    """Freeze one file system, whatever the number of its mounts."""

    action = "frozen"
    fd = -1

    def prepare(self) -> None:
        """Open one of its mountpoints and write what is in memory while all goes on: the less waits in the freeze."""
        self._open()
        libc.sync_filesystem(self.fd)

    def _open(self) -> None:
        if self.fd >= 0:
            return
        ours = {mount.mount_id for mount in read_mounts() if mount.devno == self.step.devno}
        for mount in self.step.mounts:
            try:
                fd = os.open(mount.mountpoint, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            except OSError:
                continue
            if mount_id(fd) in ours:
                self.fd = fd
                return
            os.close(fd)  # another mount lies on top of this one
        raise QuiesceError(
            "Cannot reach the file system of %s at %s." % (self.step.device, ", ".join(self.step.mountpoints)),
            "The mounts changed just now, or others cover them; run again.",
        )

    def do(self) -> None:
        """Freeze; it waits for what is being written."""
        self._open()
        try:
            _ioctl(self.fd, FIFREEZE)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY):
                self.close()  # or it could not be unmounted either
                raise NotPossibleError("it cannot be frozen") from error
            if error.errno == errno.EBUSY:
                raise QuiesceError(
                    "%s is frozen already, by something else." % self._name(),
                    "If it is a dead run of this program, run: blksync restore-state. Otherwise: %s" % self._command(),
                ) from error
            raise QuiesceError("Cannot freeze %s: %s." % (self._name(), os.strerror(error.errno or 0))) from error

    def undo(self) -> None:
        """Thaw."""
        try:
            self._open()
            _ioctl(self.fd, FITHAW)
        except QuiesceError as error:
            raise RestoreError("Cannot thaw: %s" % error.message, self._command()) from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: it is not frozen
                raise RestoreError(
                    "Cannot thaw %s: %s." % (self._name(), os.strerror(error.errno or 0)), "Run: %s" % self._command()
                ) from error

    def close(self) -> None:
        """Close the folder."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _name(self) -> str:
        return "%s on %s" % (self.step.mountpoints[0], self.step.device)

    def _command(self) -> str:
        return "fsfreeze --unfreeze %s" % self.step.mountpoints[0]


def mount_id(fd: int) -> int:
    """The mount that an open file was reached through (proc(5), fdinfo), or -1."""
    with open("/proc/self/fdinfo/%d" % fd, encoding="ascii") as info:
        for line in info:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    return -1


def _ioctl(fd: int, request: int) -> None:
    while True:
        try:
            fcntl.ioctl(fd, request, 0)
            return
        except InterruptedError:
            continue
