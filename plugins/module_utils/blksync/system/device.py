# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads, claims, writes, flushes and locks block devices and image files that are copied. Only this file does so.

Block devices are read and written with direct I/O (O_DIRECT), never through the page cache: the cache can be older
than the medium, and it cannot always be dropped. BLKFLSBUF keeps every page that a file system has pinned for its
metadata; with blocks of 1 KiB such a page also holds data blocks. A block device that refuses direct I/O is therefore
refused when it is opened. The page cache of an image file is never older than the file: a file whose file system
refuses direct I/O (FUSE, tmpfs before Linux 6.6, ZFS before 2.3) is read and written through it.
Ioctl numbers: linux/fs.h.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import platform
import stat
import struct
import threading
import time

from ..errors import DeviceBusyError, DeviceReadError, DeviceWriteError, DirectIOError
from .mount_namespaces import mounts_elsewhere

# _IO() carries a direction bit on these architectures (asm/ioctl.h), none elsewhere.
_IO_NONE = 0x20000000 if platform.machine().startswith(("ppc", "mips", "sparc", "alpha")) else 0
BLKROGET = _IO_NONE | 0x125E
BLKFLSBUF = _IO_NONE | 0x1261
BLKSSZGET = _IO_NONE | 0x1268

LOCK_PATIENCE = 5.0  # seconds: udev holds its shared lock on a disk only while it probes it
LOCK_POLL = 0.05


def allocate(length: int) -> memoryview:
    """A zeroed, page-aligned buffer of ``length`` bytes, fit for direct I/O."""
    return memoryview(mmap.mmap(-1, length))


def device_number(status: os.stat_result) -> str:
    """``"major:minor"`` of the device behind a node's status."""
    return "%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))


class Device:
    """An open block device or image file of ``size`` bytes.

    ``sector`` is the logical sector size in bytes: direct I/O must keep to it. ``path`` is for messages.
    """

    def __init__(self, path: str, fd: int, direct: bool) -> None:
        self.path = path
        self.fd = fd
        self.direct = direct
        self._mode = threading.Lock()  # while direct I/O to a file is being given up
        status = os.fstat(fd)
        self.is_block = stat.S_ISBLK(status.st_mode)
        self.devno = device_number(status) if self.is_block else ""
        self.size = os.lseek(fd, 0, os.SEEK_END)
        self.sector = _ioctl_int(fd, BLKSSZGET) if self.is_block else 512

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def read(self, buffer: memoryview, offset: int) -> None:
        """Fill ``buffer`` with the bytes at ``offset``.

        Raises DeviceReadError naming the first byte that could not be read; the buffer's rest is then undefined.
        Raises DirectIOError if a block device refuses direct I/O.
        """
        done = 0
        while done < len(buffer):
            direct = self.direct
            try:
                count = os.preadv(self.fd, [buffer[done:]], offset + done)
            except OSError as error:
                if self._fall_back(error, direct):
                    continue
                if error.errno == errno.EIO and len(buffer) - done > self.sector:
                    raise self._locate(buffer[done:], offset + done, error) from error
                raise DeviceReadError(self.path, offset + done, os.strerror(error.errno or 0)) from error
            if count == 0:
                raise DeviceReadError(self.path, offset + done, "unexpected end of the device")
            done += count
        if not self.direct:  # one pass over a disk must not push everything else out of the page cache
            os.posix_fadvise(self.fd, offset, len(buffer), os.POSIX_FADV_DONTNEED)

    def read_bytes(self, offset: int, length: int) -> bytes:
        """A copy of ``length`` bytes at ``offset``, both whole logical sectors; raises what read() does."""
        buffer = allocate(length)
        self.read(buffer, offset)
        return bytes(buffer)

    def write(self, buffer: memoryview, offset: int) -> None:
        """Write all of ``buffer`` at ``offset``; raises DeviceWriteError, and DirectIOError as read() does.

        Nothing is on the medium before flush().
        """
        done = 0
        while done < len(buffer):
            direct = self.direct
            try:
                count = os.pwritev(self.fd, [buffer[done:]], offset + done)
            except OSError as error:
                if self._fall_back(error, direct):
                    continue
                raise DeviceWriteError(self.path, offset + done, os.strerror(error.errno or 0)) from error
            if count == 0:
                raise DeviceWriteError(self.path, offset + done, "the device took no data")
            done += count

    def flush(self) -> None:
        """Wait until the device confirms that everything written is on the medium (fsync, checked)."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            raise DeviceWriteError(self.path, None, os.strerror(error.errno or 0)) from error

    def drop_cache(self) -> None:
        """Forget the page cache, so that the next buffered read comes from the medium (BLKFLSBUF, fadvise)."""
        if self.is_block:
            # Needs CAP_SYS_ADMIN; fadvise does what an ordinary user may.
            with contextlib.suppress(PermissionError):
                fcntl.ioctl(self.fd, BLKFLSBUF, 0)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Give the device back; closing twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def require_direct(self) -> None:
        """Read one sector past the page cache. Raises DirectIOError if a block device refuses that.

        Other errors are left to the reader of that sector.
        """
        if not self.is_block or not self.size:
            return
        if not self.direct:
            raise DirectIOError(self.path, "it cannot be opened with O_DIRECT")
        try:
            os.preadv(self.fd, [allocate(self.sector)], 0)
        except OSError as error:
            self._fall_back(error, self.direct)

    def _fall_back(self, error: OSError, direct: bool) -> bool:
        """True if direct I/O to a file was refused (EINVAL) and the descriptor is buffered from now on.

        Every file whose length is no multiple of the sector ends so. ``direct`` is what ``self.direct`` was before the
        attempt: of several threads that are refused at the same time one changes the descriptor and all try again.
        Raises DirectIOError for a block device.
        """
        if error.errno != errno.EINVAL or not direct:
            return False
        if self.is_block:
            raise DirectIOError(self.path, self._why_refused()) from error
        with self._mode:
            if self.direct:
                flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
                fcntl.fcntl(self.fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
                self.drop_cache()
                self.direct = False
        return True

    def _why_refused(self) -> str:
        if self.size % self.sector:
            return "its size of %d bytes is no multiple of its sectors of %d bytes" % (self.size, self.sector)
        return os.strerror(errno.EINVAL)

    def _locate(self, buffer: memoryview, offset: int, cause: OSError) -> DeviceReadError:
        """Read sector by sector to find where the error of a large read really is."""
        for done in range(0, len(buffer), self.sector):
            try:
                if os.preadv(self.fd, [buffer[done : done + self.sector]], offset + done) > 0:
                    continue
                reason = "unexpected end of the device"
            except OSError as error:
                reason = os.strerror(error.errno or 0)
            return DeviceReadError(self.path, offset + done, reason)
        return DeviceReadError(self.path, offset, "%s (it reads in single sectors)" % os.strerror(cause.errno or 0))


def open_source(path: str, devno: str = "", exclusive: bool = False) -> Device:
    """Open for reading only. ``exclusive`` claims the device (O_EXCL), so that nothing can mount it meanwhile.

    Raises DeviceBusyError if the claim fails or if ``path`` is no longer the device number ``devno``,
    DirectIOError if a block device cannot be read past the page cache.
    """
    return _open(path, os.O_RDONLY | (os.O_EXCL if exclusive else 0), devno)


def claim_target(path: str, devno: str = "") -> Device:
    """Open for reading and writing, and claim the device (O_EXCL): no mount, swap or mapping can take it meanwhile.

    Raises DeviceBusyError if something else holds it or if ``path`` is no longer ``devno``, DirectIOError if
    a block device cannot be read past the page cache.
    """
    return _open(path, os.O_RDWR | os.O_EXCL, devno)


def lock_disk(path: str) -> int:
    """Lock the whole-disk node (flock, exclusive), which keeps udev from probing the disk, and return the descriptor.

    Fact: systemd's block device locking protocol (systemd.io, "Locking Block Device Access").
    Raises DeviceBusyError after LOCK_PATIENCE seconds.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceBusyError("Cannot open %s: %s." % (path, os.strerror(error.errno or 0))) from error
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                os.close(fd)
                raise DeviceBusyError(
                    "Cannot lock %s: %s." % (path, os.strerror(error.errno or 0)),
                    "Another program is working on that disk; wait for it to end and run again.",
                ) from error
            time.sleep(LOCK_POLL)


def _busy_hint(path: str) -> str:
    """What holds a device that could not be claimed, and how to release it."""
    with contextlib.suppress(OSError):
        found = mounts_elsewhere(device_number(os.stat(path)), path)
        if found:
            return "It is %s. Unmount it there (%s) and run again." % (
                " and ".join(map(str, found)),
                ", ".join("nsenter --mount --target %d umount %s" % (each.pid, each.mountpoint) for each in found),
            )
    return (
        "Another program or a device stacked on it has claimed it (lsblk %s and fuser --verbose %s may show which); "
        "release it and run again." % (path, path)
    )


def _open(path: str, flags: int, devno: str) -> Device:
    flags |= os.O_CLOEXEC
    direct = True
    try:
        try:
            fd = os.open(path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            direct = False
            fd = os.open(path, flags)
    except OSError as error:
        raise DeviceBusyError(
            "Cannot open %s: %s." % (path, os.strerror(error.errno or 0)),
            _busy_hint(path) if error.errno == errno.EBUSY else "",
        ) from error
    device = Device(path, fd, direct)
    if devno and device.devno != devno:
        device.close()
        raise DeviceBusyError(
            "%s is no longer the device %s that was planned." % (path, devno),
            "A disk was plugged in or out just now; run again.",
        )
    try:
        device.require_direct()
    except DirectIOError:
        device.close()
        raise
    if not direct:
        device.drop_cache()
    return device


def _ioctl_int(fd: int, request: int) -> int:
    answer = fcntl.ioctl(fd, request, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
