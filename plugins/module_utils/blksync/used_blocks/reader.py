# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Asks the file system on a partition which blocks it uses."""

from __future__ import annotations

import errno
import os

from ..discovery.model import Partition
from ..errors import BlksyncError, Reason
from ..system.device import allocate, open_source
from ..system.mountinfo import mount_id, read_mounts
from .errors import UnknownLayoutError
from .filesystem import BackingDevice, find_backing_device, is_loop_over_file, read_mapping
from .luks import payload_offset
from .ranges import GAP, UsedBlocks, everything, used_blocks
from .registry import READERS


class UsedMap:
    """The used blocks of one partition; a context manager.

    What it needs it opens at once (a directory of the file system, and the LUKS header, which it reads), so that in
    ``read`` nothing is left but an ioctl and arithmetic: nothing in there waits for a frozen file system. Until it is
    closed the file system cannot be unmounted. ``reason`` is why nothing is known, None if something is.
    """

    def __init__(self, partition: Partition) -> None:
        self.reason: Reason | None = None
        self._partition = partition
        self._fd = -1
        self._devno = self._fstype = ""
        self._shift = 0
        self._size = partition.size
        try:
            self._open()
        except UnknownLayoutError as error:
            self.reason = error.reason
        except (BlksyncError, OSError, ValueError) as error:
            words = str(error).rstrip(".")
            self.reason = Reason("query_failed", "it cannot be found out which blocks it uses (%s)" % words)

    def __enter__(self) -> UsedMap:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def read(self, block: int) -> UsedBlocks:
        """What to copy, in blocks of ``block`` bytes (a power of two), or the whole partition and the reason for that.

        It is true only while the file system is frozen, and was synced before: blocks that a file will get when its
        data are written back (delayed allocation) are reported as free until then, and what is freed and used again
        meanwhile is missed. Without a freeze it is an estimate.
        """
        if self.reason:
            return everything(self._partition.size, self.reason)
        try:
            free = READERS[self._fstype](self._fd, self._devno, self._size, GAP)
        except UnknownLayoutError as error:
            return everything(self._partition.size, error.reason)
        except OSError as error:
            return everything(self._partition.size, self._refusal(error))
        return used_blocks(free, self._shift, self._partition.size, block)

    def close(self) -> None:
        """Let go of the file system; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        backing = find_backing_device(self._partition, is_loop_over_file)
        self._devno, self._fstype = backing.devno, backing.fstype
        if backing.mapping:
            self._shift = _payload(self._partition, backing.mapping)
            self._size -= self._shift
        self._fd = _open_dir(backing)

    def _refusal(self, error: OSError) -> Reason:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
            return Reason("unsupported", "%s does not report which blocks it uses" % self._fstype)
        words = os.strerror(error.errno or 0)
        return Reason("query_failed", "%s cannot report which blocks it uses (%s)" % (self._fstype, words))


def _payload(partition: Partition, mapping: str) -> int:
    with open_source(partition.path, partition.devno) as device:

        def read(offset: int, length: int) -> bytes:
            buffer = allocate(length)
            device.read(buffer, offset)
            return bytes(buffer)

        return payload_offset(read, read_mapping(mapping), partition.size)


def _open_dir(backing: BackingDevice) -> int:
    """A descriptor of one of the file system's mountpoints. Raises UnknownLayoutError where others cover them all."""
    ours = {mount.mount_id for mount in read_mounts() if (mount.devno, mount.fstype) == (backing.devno, backing.fstype)}
    for mount in backing.mounts:
        try:
            fd = os.open(mount.mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        if mount_id(fd) in ours:
            return fd
        os.close(fd)  # another mount lies on top of this one
    raise UnknownLayoutError(
        "mountpoint_covered",
        "its file system cannot be reached at %s" % ", ".join(m.mountpoint for m in backing.mounts),
    )
