# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A FUSE file system of an ordinary user, with one file that nobody ever gets to read.

The mount is made as fusermount3 makes it: root opens /dev/fuse and mounts for the user, whose process then serves. The
numbers are those of linux/fuse.h.

    python -m tests.support.fuse serve DESCRIPTOR
    python -m tests.support.fuse read FUSE-FILE
    python -m tests.support.fuse write FUSE-FILE FILE     write(2) to FILE from the mapped FUSE-FILE
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Self

from blksync.system import libc
from blksync.system.mountinfo import read_mounts
from tests.tooling.paths import ROOT

from .command import ENVIRONMENT
from .parent import end_with_parent
from .waiting import wait_for

NOBODY = 65534
FILE = "file"
SIZE = 65536
LOOKUP, FORGET, GETATTR, OPEN, READ, INIT, OPENDIR, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 26, 27, 36, 42
ROOT_NODE, FILE_NODE = 1, 2
SILENT = (FORGET, READ, INTERRUPT, BATCH_FORGET)
CONNECTIONS = Path("/sys/fs/fuse/connections")


def missing() -> str:
    """Why no test can have a FUSE file system here, or ""."""
    with open("/proc/filesystems", encoding="ascii") as file:
        known = file.read().split()
    return "" if os.path.exists("/dev/fuse") and {"fuse", "fusectl"} <= set(known) else "needs FUSE"


class FuseMount:
    """A FUSE file system of NOBODY at ``directory``, which shows ``source`` as what it is mounted from.

    With ``fstype`` "fuseblk" the source is a block device, as for ntfs-3g.
    """

    def __init__(self, directory: Path, source: str = "dead", fstype: str = "fuse") -> None:
        self.directory = directory
        fd = os.open("/dev/fuse", os.O_RDWR)
        try:
            options = "fd=%d,rootmode=40000,user_id=%d,group_id=%d" % (fd, NOBODY, NOBODY)
            options += ",blksize=512" if fstype == "fuseblk" else ""
            libc.mount(source, str(directory), fstype, libc.MS_NOSUID | libc.MS_NODEV, options)
            argv = [sys.executable, "-m", "tests.support.fuse", "serve", str(fd)]
            self._process = subprocess.Popen(argv, pass_fds=[fd], cwd=ROOT, env=ENVIRONMENT)
        finally:
            os.close(fd)

    @property
    def file(self) -> Path:
        """The file that can be opened and mapped, and not read."""
        return self.directory / FILE

    @property
    def number(self) -> int:
        """Of the connection: the minor number of the mount (fs/fuse/inode.c)."""
        (mount,) = [mount for mount in read_mounts() if mount.mountpoint == str(self.directory)]
        return int(mount.devno.partition(":")[2])

    def close(self) -> None:
        self._process.kill()  # with the last descriptor the connection ends, and with it all that waits for an answer
        self._process.wait()
        with contextlib.suppress(OSError):
            libc.unmount(str(self.directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class StuckWriter:
    """A process of NOBODY inside write(2), which waits for a page of the FUSE file. ``file`` is what it writes to.

    SIGKILL does not reach it: the request has been sent, and is waited for until the connection ends.
    """

    def __init__(self, mount: FuseMount, file: Path) -> None:
        self._mount = mount
        argv = [sys.executable, "-m", "tests.support.fuse", "write", str(mount.file), str(file)]
        self.process = subprocess.Popen(argv, cwd=ROOT, env=ENVIRONMENT)
        wait_for(lambda: self._is_in(file), state=self._system_call)

    def _system_call(self) -> list[str]:
        assert self.process.poll() is None, "the writer has ended"
        return Path("/proc/%d/syscall" % self.process.pid).read_text().split()

    def _is_in(self, file: Path) -> bool:
        call = self._system_call()
        with contextlib.suppress(OSError, ValueError, IndexError):
            return os.readlink("/proc/%d/fd/%d" % (self.process.pid, int(call[1], 16))) == str(file)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self._mount.close()
        self.process.wait()


class SlowReader:
    """A process of NOBODY that waits for what it reads from the FUSE file."""

    def __init__(self, mount: FuseMount) -> None:
        self._mount = mount
        argv = [sys.executable, "-m", "tests.support.fuse", "read", str(mount.file)]
        self.process = subprocess.Popen(argv, cwd=ROOT, env=ENVIRONMENT)
        wait_for(lambda: "fuse" in Path("/proc/%d/stack" % self.process.pid).read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self._mount.close()
        self.process.wait()


def serve(fd: int) -> None:
    """Answer everything but what reads the file."""
    with contextlib.suppress(OSError):  # unmounted, or aborted
        while True:
            request = os.read(fd, 1 << 20)
            _length, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode not in SILENT:
                code, answer = _answer(opcode, node, request[40:])
                os.write(fd, struct.pack("<IiQ", 16 + len(answer), -code, unique) + answer)


def _answer(opcode: int, node: int, body: bytes) -> tuple[int, bytes]:
    if opcode == INIT:
        return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 12, 9, 4096, 1, 1, 0, 0, *[0] * 7)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != FILE.encode():
            return errno.ENOENT, b""
        return 0, struct.pack("<QQQQII", FILE_NODE, 0, 3600, 3600, 0, 0) + _attributes(FILE_NODE)
    if opcode == GETATTR:
        return 0, struct.pack("<QII", 3600, 0, 0) + _attributes(node)
    if opcode in (OPEN, OPENDIR):
        return 0, struct.pack("<QII", 0, 0, 0)
    return errno.ENOSYS, b""


def _attributes(node: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == ROOT_NODE else stat.S_IFREG | 0o644
    size = 0 if node == ROOT_NODE else SIZE
    return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, NOBODY, NOBODY, 0, 4096, 0)


def write(mapped: str, path: str) -> None:
    """Write from the mapped file: the kernel has to read its first page, and nobody answers."""
    with open(mapped, "rb") as file:
        memory = mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    with contextlib.suppress(OSError):
        os.write(os.open(path, os.O_WRONLY), memory)


def read(path: str) -> None:
    """Read the file, which never ends."""
    with open(path, "rb", 0) as file:
        file.read(1)


def become_nobody() -> None:
    """For good. Not before the program starts: NOBODY may be unable to run the tests' Python."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


if __name__ == "__main__":
    become_nobody()
    end_with_parent()
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    elif sys.argv[1] == "read":
        read(sys.argv[2])
    else:
        write(*sys.argv[2:])
