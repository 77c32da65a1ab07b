# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A main disk in use and its backup disk: a mounted partition that cannot be frozen and one that can.

This kernel has no vfat, so ext2 stands for it: for whoever quiesces these disks ext2 cannot be frozen.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

from blksync.quiesce.actions.freeze_process import FIFREEZE, FITHAW
from blksync.system.mountinfo import Mount, parse_mountinfo

from .disks import MIB, SECTOR, PartitionedDisk, run
from .waiting import PATIENCE, wait_for

UNFREEZABLE = ("ext2",)
SIZES = (8 * MIB // SECTOR, 32 * MIB // SECTOR)


class MountedPair:
    """The two disks; partitions 1 (ext2) and 2 (ext4) of the source are mounted below ``directory``.

    ``make_root`` is the command that makes the second's file system, ``options`` are those it is mounted with.

    A context manager that thaws, unmounts and detaches whatever a test left.
    """

    def __init__(
        self,
        directory: Path,
        sizes: tuple[int, ...] = SIZES,
        make_root: tuple[str, ...] = ("mkfs.ext4", "-q"),
        options: str = "defaults",
    ) -> None:
        self.boot, self.root, self.copy = (directory / name for name in ("boot", "root", "copy"))
        for mountpoint in (self.boot, self.root, self.copy):
            mountpoint.mkdir()
        self.directory = directory
        with contextlib.ExitStack() as stack:
            unique = "%07x" % os.getpid()  # other disks of the machine may be there for other tests
            self.source = stack.enter_context(PartitionedDisk("a" + unique, sizes))
            self.target = stack.enter_context(PartitionedDisk("b" + unique, sizes, gap=4096))
            stack.callback(self._release)
            run("mkfs.ext2", "-q", self.source.partition(1))
            run(*make_root, self.source.partition(2))
            run("mount", "-o", "nosuid,noexec", self.source.partition(1), str(self.boot))
            run("mount", "-o", options, self.source.partition(2), str(self.root))
            (self.boot / "kernel").write_bytes(os.urandom(MIB))
            (self.root / "system").write_bytes(os.urandom(4 * MIB))
            self._everything = stack.pop_all()

    def __enter__(self) -> MountedPair:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._everything.close()

    def request(self, **options: object) -> dict[str, Any]:
        """What a sync of the two is asked for; the plain freeze, whether or not this machine could copy live."""
        disks = {"source": self.source.identifier, "target": self.target.identifier}
        return {**disks, "engine": "native", "quiesce": "freeze", "unfreezable": UNFREEZABLE, **options}

    def mounts(self) -> list[tuple[object, ...]]:
        """What mountinfo says of everything below the directory, but for the numbers that the kernel gives anew."""
        return sorted(comparable(mount) for mount in self._mounted())

    def frozen(self) -> list[Path]:
        """Which of the two file systems is frozen now."""
        return [mountpoint for mountpoint in (self.boot, self.root) if is_frozen(mountpoint)]

    def assert_restored(self, mounts: list[tuple[object, ...]], within: float = PATIENCE) -> float:
        """Wait until nothing is frozen and everything is mounted as in ``mounts``; the seconds that it took."""
        begun = time.monotonic()
        wait_for(lambda: self.mounts() == mounts and not self.frozen(), within, lambda: (self.mounts(), self.frozen()))
        return time.monotonic() - begun

    def assert_copied(self, numbers: tuple[int, ...] = (1, 2)) -> None:
        """The target's file systems are whole and hold the same files with the same content as the source's."""
        for number, mountpoint, options in ((1, self.boot, "ro"), (2, self.root, "ro,noload")):
            if number not in numbers:
                continue
            partition = self.target.partition(number)
            run("blockdev", "--flushbufs", partition)
            run("e2fsck", "-fn", partition)
            run("mount", "-o", options, partition, str(self.copy))
            try:
                run("diff", "-r", str(mountpoint), str(self.copy))
            finally:
                run("umount", str(self.copy))

    def _mounted(self) -> list[Mount]:
        mounts = parse_mountinfo(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))
        return [mount for mount in mounts if mount.mountpoint.startswith(str(self.directory))]

    def _release(self) -> None:
        """Whoever was killed just now may still hold a mount, or freeze and thaw it, for a moment."""

        def released() -> bool:
            for mount in reversed(self._mounted()):
                thaw(Path(mount.mountpoint))
                subprocess.run(["umount", mount.mountpoint], capture_output=True, check=False)
            return not self._mounted()

        wait_for(released, state=self._mounted)


def comparable(mount: Mount) -> tuple[object, ...]:
    """A mount without its own, its parent's and its peer groups' numbers, and without the one that btrfs gets anew."""
    spread = tuple(sorted(field.partition(":")[0] for field in mount.propagation))
    devno = "" if mount.devno.startswith("0:") else mount.devno
    device = (devno, mount.fstype, mount.source, mount.super_options)
    return (mount.mountpoint, mount.root, mount.options, spread, *device)


def is_frozen(mountpoint: Path) -> bool:
    """Try to freeze it: "busy" means that it is frozen already; else thaw at once. Never hangs, as a write would."""
    fd = os.open(mountpoint, os.O_RDONLY)
    try:
        if os.fstat(fd).st_dev == os.stat(mountpoint.parent).st_dev:
            return False  # nothing is mounted here at the moment: this must not freeze the machine's own root
        try:
            fcntl.ioctl(fd, FIFREEZE, 0)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return True
            raise
        thaw(mountpoint)
        return False
    finally:
        os.close(fd)


def freeze(mountpoint: Path) -> None:
    """Freeze a file system as somebody else would."""
    fd = os.open(mountpoint, os.O_RDONLY)
    try:
        assert os.fstat(fd).st_dev != os.stat("/").st_dev
        fcntl.ioctl(fd, FIFREEZE, 0)
    finally:
        os.close(fd)


def thaw(mountpoint: Path) -> None:
    """Thaw it, frozen or not."""
    fd = os.open(mountpoint, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FITHAW, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def written_to(file: Path) -> Iterator[subprocess.Popen]:
    """A process that has the file open for writing."""
    program = "import sys; f = open(sys.argv[1], 'w'); print('open', flush=True); input()"
    argv = [sys.executable, "-c", program, str(file)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield holder
        finally:
            holder.communicate(b"\n")
