# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Checks by the kernel's counters whether a source was written while it was copied.

The check is the same for each way to quiesce a source: frozen, unmounted, read-only, idle, or not quiesced at all. The
kernel does not count passthrough commands (SG_IO, NVMe ioctls) and writes of another host to the same disk.
"""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Callable, TypeVar

from ..errors import QuiesceError, described
from ..system.device import Device, allocate

SECTOR = 512  # bytes: what the kernel counts in, whatever the device's own sectors are
SETTLE = 10.0  # seconds for the requests that were under way when the source was quiesced
POLL = 0.001
ATTEMPTS = 100  # to read the counts of a disk and of its partitions at one moment
_COARSE = 5  # CLOCK_REALTIME_COARSE (linux/time.h): the clock that files get their times from
_NO_FSYNC = (errno.EROFS, errno.EINVAL)  # nothing can be dirty, or the file system has no such call

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Counts:
    """Bytes since the device exists. ``past``: written or discarded anywhere through the node of the whole disk."""

    read: int = 0
    written: int = 0
    discarded: int = 0
    past: int = 0


@dataclass(frozen=True)
class Change:
    """What happened to a source between begin() and end(): a sentence, empty if nothing was written.

    ``discarded``: bytes that were discarded, as file systems do to their free blocks for a moment after a freeze.
    """

    written: str = ""
    discarded: int = 0


class Stillness(ABC):
    """Counts the writes to one source. ``begin`` comes after the quiescing and before the first byte is read."""

    def check(self) -> None:
        """Raise QuiesceError if the kernel does not count at all; before anything is touched."""

    @abstractmethod
    def begin(self) -> None:
        """Wait for what is under way, then start to count. Raises QuiesceError."""

    @abstractmethod
    def end(self, read: int = 0) -> Change:
        """What was written since begin(). ``read``: bytes that the caller has read from the medium since then at least.

        Raises QuiesceError if the kernel did not count these, and so may not have counted writes either.
        """


def of(source: Device, flush: bool = True) -> Stillness:
    """The witness for an open device or image file. ``flush`` False: a file is not flushed, as in check mode."""
    return DeviceStillness(source) if source.is_block else FileStillness(source.fd, source.path, flush)


class DeviceStillness(Stillness):
    """A block device, by the counters of its own and of its disk."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._counter = _reported(device.path, lambda: Counter(device.devno))
        self._path = device.path
        self._before = Counts()

    def check(self) -> None:
        """See Stillness: read a sector, and see whether it was counted. Raises DeviceReadError."""
        before = _reported(self._path, self._counter.read)
        self._device.read(allocate(self._device.sector), 0)
        self._expect_counted(before, _reported(self._path, self._counter.read), self._device.sector)

    def begin(self) -> None:
        """See Stillness. Raises QuiesceError if requests to write do not end."""
        wait_until_idle(self._counter, self._path)
        self._before = _reported(self._path, lambda: self._counter.read(first=True))

    def end(self, read: int = 0) -> Change:
        """See Stillness."""
        # A write that is under way may have reached the medium already, but is counted when it ends.
        wait_until_idle(self._counter, self._path)
        now = _reported(self._path, self._counter.read)
        self._expect_counted(self._before, now, read)
        return change(self._path, self._before, now)

    def _expect_counted(self, before: Counts, now: Counts, read: int) -> None:
        counted = now.read - before.read
        if counted < read:
            raise QuiesceError(
                "The kernel does not count all that is read from and written to %s (it counted %d of %d bytes read)."
                % (self._path, counted, read),
                "%s Without it nobody can know whether the source was written to." % remedy(self._counter.disk),
            )


def remedy(disk: str) -> str:
    """How to have the writes to partitions of a disk counted; ``disk`` is its real directory in sysfs.

    Fact: the one node for all paths to an NVMe disk counts for itself alone, since Linux 6.4, and never for its
    partitions (drivers/nvme/host/multipath.c, nvme_mpath_start_request).
    """
    if "/nvme-subsystem/" in disk:
        return (
            "Start the machine with nvme_core.multipath=N on the kernel's command line: Linux takes this disk for one "
            "with several paths, and does not count the writes to the partitions of such a disk."
        )
    return "Switch counting on: echo 1 > %s/queue/iostats." % disk


def change(path: str, before: Counts, now: Counts) -> Change:
    """What happened to ``path`` between two counts."""
    written, past = now.written - before.written, now.past - before.past
    if written:
        return Change("%d bytes were written to %s" % (written, path), now.discarded - before.discarded)
    if past > 0:
        return Change("%d bytes were written past %s, through the node of its whole disk" % (past, path))
    return Change("", now.discarded - before.discarded)


class Counter:
    """The kernel's counters of a block device (Documentation/ABI/stable/sysfs-block, block/stat.rst).

    A partition's have all that goes through the partition; what goes through the node of the whole disk is in the
    disk's alone (block/blk.h, part_stat_add). ``disk`` is the disk's directory in sysfs.
    """

    def __init__(self, devno: str) -> None:
        own = os.path.realpath("/sys/dev/block/%s" % devno)
        disk = os.path.dirname(own) if os.path.exists(own + "/partition") else own
        self.disk = disk
        self._own = own
        self._disk = disk if disk != own else ""
        self._partitions = [
            each.path for each in os.scandir(disk) if self._disk and os.path.exists(each.path + "/partition")
        ]

    def in_flight(self) -> int:
        """Writes and discards that have begun and not ended. Raises OSError."""
        return int(_read(self._own + "/inflight").split()[1])

    def read(self, first: bool = False) -> Counts:
        """All counts, of one moment. Raises OSError, ValueError.

        If other partitions of the disk are too busy for that, ``past`` is too high in the ``first`` of two counts and
        too low in the second: the difference never says of what is written to them that it went past them.
        """
        if not self._disk:
            return _counts(self._stat(self._own), 0)
        for _attempt in range(ATTEMPTS):
            parts, whole = self._parts(), self._stat(self._disk)
            if (self._parts(), self._stat(self._disk)) == (parts, whole):
                return _counts(parts[self._own], sum(whole[1:]) - _sum(parts))
        if first:
            parts, whole = self._parts(), self._stat(self._disk)
        else:
            whole, parts = self._stat(self._disk), self._parts()
        return _counts(parts[self._own], sum(whole[1:]) - _sum(parts))

    def _parts(self) -> dict[str, tuple[int, int, int]]:
        return {path: self._stat(path) for path in self._partitions}

    def _stat(self, path: str) -> tuple[int, int, int]:
        """Sectors read, written and discarded. Kernels before 4.18 have no column for discards."""
        fields = _read(path + "/stat").split()
        return int(fields[2]), int(fields[6]), int(fields[13]) if len(fields) > 13 else 0


def wait_until_idle(counter: Counter, path: str, busy: Callable[[], None] = lambda: None) -> None:
    """Wait until no request to write to the device is under way; ``busy`` is called while there is one.

    Raises QuiesceError if that does not come: somebody writes although the source is quiesced.
    """
    deadline = time.monotonic() + SETTLE
    while _reported(path, counter.in_flight):
        busy()
        if time.monotonic() > deadline:
            raise written_although_quiesced("requests to write to %s do not end" % path)
        time.sleep(POLL)


def written_although_quiesced(what: str) -> QuiesceError:
    """The error for a source that was written to between quiescing and the last read."""
    return QuiesceError(
        "The source was written to while it was read: %s." % what,
        "The copy is inconsistent. End what writes there (a virtual machine, a program that uses the raw device, "
        "another system that has the file system mounted) and run again.",
    )


def expect_none(found: Change, path: str) -> None:
    """Raise QuiesceError if anything was written or discarded."""
    if found.written or found.discarded:
        raise written_although_quiesced(found.written or "%d bytes of %s were discarded" % (found.discarded, path))


class FileStillness(Stillness):
    """An image file, by its times. The kernel notes a write through a mapping of a file on disk when it finds the page
    clean, so the file is flushed first; a mapping of a file in a tmpfs is not noted at all."""

    def __init__(self, fd: int, path: str, flush: bool) -> None:
        self._fd = fd
        self._flush = flush
        self._path = path
        self._before: tuple[int, ...] = ()

    def begin(self) -> None:
        """See Stillness. Raises QuiesceError if the file cannot be flushed."""
        try:
            if self._flush:
                os.fsync(self._fd)
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise QuiesceError("Cannot flush %s: %s." % (self._path, os.strerror(error.errno or 0))) from error
        self._before = self._facts()
        # A second write within the same tick of the clock would leave the same times.
        while time.clock_gettime_ns(_COARSE) <= max(self._before[-2:]):
            if max(self._before[-2:]) - time.clock_gettime_ns(_COARSE) > 1_000_000_000:
                break  # dated in the future: any write changes that
            time.sleep(POLL)

    def end(self, read: int = 0) -> Change:
        """See Stillness; ``read`` does not matter here."""
        return Change() if self._facts() == self._before else Change("%s was written to" % self._path)

    def _facts(self) -> tuple[int, ...]:
        status = os.fstat(self._fd)
        return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _reported(path: str, ask: Callable[[], _Answer]) -> _Answer:
    """Raises QuiesceError if the kernel does not report it."""
    try:
        return ask()
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise QuiesceError(
            "The kernel does not report what is written to %s: %s." % (path, described(error)),
            "The disk may have been unplugged, or its partition table was changed; look at it and run again.",
        ) from error


def _counts(own: tuple[int, int, int], past: int) -> Counts:
    read, written, discarded = own
    return Counts(read * SECTOR, written * SECTOR, discarded * SECTOR, past * SECTOR)


def _sum(parts: dict[str, tuple[int, int, int]]) -> int:
    return sum(written + discarded for _reads, written, discarded in parts.values())


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
