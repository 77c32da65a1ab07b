# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Creates, clones and replaces target image files, so that there is a complete image under their name at every moment.

A new image, or one whose former generations are kept, is written under another name in the same directory, and renamed
after it was verified. Facts: ioctl_ficlone(2), fallocate(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from contextlib import suppress

from ..engines.native.compare import changed_extents
from ..engines.range_map import WINDOW
from ..errors import DeviceWriteError, InvalidRequestError, StorageError, UntrustedError
from ..system import atomic_file, device
from ..system.device import Device, allocate
from .endpoint import FILE, Endpoint

FICLONE = 0x40049409
PUNCH_HOLE, KEEP_SIZE = 2, 1  # linux/falloc.h
GRAIN = 4096  # bytes: smaller holes free nothing


class ImageFile:
    """The image at ``end``, of ``size`` bytes, to be written; ``keep`` former generations stay as NAME.1 and so on."""

    def __init__(self, end: Endpoint, size: int, keep: int, punch: bool) -> None:
        self.path = end.real
        self.created = end.kind != FILE
        self._size, self._keep, self._punch = size, keep, punch
        directory, name = os.path.split(self.path)
        self._staged = os.path.join(directory, ".%s.blksync-new" % name) if self.created or keep else ""

    def open(self) -> Device:
        """The image open for reading and writing. Raises InvalidRequestError, StorageError, DeviceBusyError.

        What an interrupted run has left of an image that is being made is used; a clone is always made anew.
        """
        made = None
        try:
            if self._staged:
                made = self._make() if self.created else self._clone()
        except OSError as error:
            raise StorageError(self._staged, os.strerror(error.errno or 0)) from error
        opened = device.claim_target(self._staged or self.path)
        if made and not os.path.samestat(made, os.fstat(opened.fd)):
            opened.close()
            raise UntrustedError(self._staged, "somebody else has put it in the place of ours")
        return PunchedImage(opened) if self._punch else opened

    def commit(self, changed: bool) -> None:
        """The content is verified and on the medium: give it its name, unless nothing changed. Raises StorageError."""
        if not self._staged:
            return
        try:
            if not changed and not self.created:
                atomic_file.remove(self._staged)
                return
            if self._keep and not self.created:
                self._rotate()
            atomic_file.move(self._staged, self.path)
        except OSError as error:
            raise StorageError(self.path, os.strerror(error.errno or 0)) from error

    def tidy(self) -> None:
        """Remove a clone that came to nothing; an image that is being made stays, so that work on it can go on."""
        if self._staged and not self.created:
            with suppress(OSError):
                atomic_file.remove(self._staged)

    def _make(self) -> os.stat_result:
        """Raises UntrustedError if what is there may be somebody else's, OSError."""
        fd = os.open(self._staged, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            atomic_file.expect_own(fd, self._staged)
            if os.fstat(fd).st_size != self._size:
                os.ftruncate(fd, 0)
                os.ftruncate(fd, self._size)
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _clone(self) -> os.stat_result:
        source = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            clone = atomic_file.create(self._staged, 0o600)
            try:
                status = os.fstat(source)
                os.fchown(clone, status.st_uid, status.st_gid)
                os.fchmod(clone, status.st_mode & 0o7777)
                fcntl.ioctl(clone, FICLONE, source)
                return os.fstat(clone)
            except OSError as error:
                atomic_file.remove(self._staged)
                if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV):
                    raise InvalidRequestError(
                        "The file system of %s cannot clone files, so that no generation can be kept." % self.path,
                        "Keep images on btrfs, or on xfs with reflink, or set keep to 0.",
                    ) from error
                raise
            finally:
                os.close(clone)
        finally:
            os.close(source)

    def _rotate(self) -> None:
        """NAME becomes NAME.1 as well, NAME.1 becomes NAME.2; NAME itself is there all the time."""
        for number in range(self._keep, 1, -1):
            with suppress(FileNotFoundError):
                os.replace("%s.%d" % (self.path, number - 1), "%s.%d" % (self.path, number))
        atomic_file.remove("%s.1" % self.path)
        os.link(self.path, "%s.1" % self.path)


class PunchedImage(Device):
    """An image in which blocks of zeros become holes where they are written. It takes the descriptor over."""

    def __init__(self, opened: Device) -> None:
        super().__init__(opened.path, opened.fd, opened.direct)
        self._zeros = allocate(WINDOW)

    def write(self, buffer: memoryview, offset: int) -> None:
        """Write as Device does, but for zeros."""
        for begin in range(0, len(buffer), WINDOW):
            part = buffer[begin : begin + WINDOW]
            at = 0
            for start, length in changed_extents(part, self._zeros[: len(part)], GRAIN):
                self._hole(offset + begin + at, start - at)
                super().write(part[start : start + length], offset + begin + start)
                at = start + length
            self._hole(offset + begin + at, len(part) - at)

    def _hole(self, offset: int, length: int) -> None:
        if length and not punch(self.fd, offset, length):
            super().write(self._zeros[:length], offset)


def punch(fd: int, offset: int, length: int) -> bool:
    """Make a hole; False if the file system cannot. Raises DeviceWriteError."""
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length):
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        if number != errno.EINTR:
            raise DeviceWriteError("the image", offset, os.strerror(number))
    return True


def zeros(size: int) -> Device:
    """Nothing but zeros, in memory: what an image is before it is made."""
    fd = os.memfd_create("blksync-zeros", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return Device("a new image", fd, direct=False)
