# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what test processes left that were killed: their processes, frozen file systems, mounts, loop devices, images
and traces. What belongs to a living process is never touched.

    python -m tests.support.leftovers [TAG]     needs root; TAG is that of a process that counts as dead already

It prints a line for each device and image of TAG that it removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "plugins" / "module_utils")]

from blksync.system.tracefs import remove_instances  # noqa: E402

from . import own_mounts, owner, tracefs  # noqa: E402
from .disks import MEMORY, drop_partitions  # noqa: E402
from .mounted import thaw  # noqa: E402
from .waiting import PATIENCE, POLL  # noqa: E402

LOOP_GET_STATUS64 = 0x4C05  # linux/loop.h
LOOP_INFO64 = struct.Struct("=QQQ208x")  # device and inode of the file, device number of a file that is a device
DELETED = " (deleted)"
THAW = 'mount "$1" "$2" || mount -o ro "$1" "$2" && fsfreeze --unfreeze "$2"'
"""In a mount namespace, which ends with the shell."""
LOCK = "/run/blksync-tests.lock"
"""One at a time: two would detach the same device, of which the second may be a new one of the same number."""
IN_USE = 5.0  # seconds, for whoever may look at a device just now

IsDead = Callable[[str], bool]


@dataclass(frozen=True)
class Loop:
    """An attached loop device and the file behind it."""

    path: str
    file: str

    def owner(self) -> str:
        """The tag in the file's name, "" where it is not a test's."""
        match = owner.IMAGE.fullmatch(os.path.basename(self.file.removesuffix(DELETED)))
        return match[1] if match else ""

    def nodes(self) -> dict[int, str]:
        """The device and its partitions, as device number and path."""
        block = Path("/sys/class/block", os.path.basename(self.path))
        found = {}
        for directory in (*(file.parent for file in block.glob("*/partition")), block):
            major, minor = map(int, (directory / "dev").read_text().split(":"))
            found[os.makedev(major, minor)] = "/dev/" + directory.name
        return found

    def is_above(self, devices: dict[int, str]) -> bool:
        """Whether one of these devices, or a file on it, is behind this loop device."""
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            info = bytearray(LOOP_INFO64.size)
            fcntl.ioctl(fd, LOOP_GET_STATUS64, info)
        except OSError:
            return False
        finally:
            os.close(fd)
        lies_on, _inode, device = LOOP_INFO64.unpack(info)
        return lies_on in devices or device in devices


def attached() -> list[Loop]:
    """All loop devices of the machine that have a file."""
    return [loop for loop in map(_attached, os.listdir("/sys/class/block")) if loop]


def _attached(name: str) -> Loop | None:
    try:
        file = Path("/sys/class/block", name, "loop/backing_file").read_bytes()
    except OSError:
        return None
    return Loop("/dev/" + name, os.fsdecode(file).rstrip("\n"))


def images(dead: IsDead) -> list[Path]:
    """The files in memory of those that are dead."""
    matches = ((path, owner.IMAGE.fullmatch(path.name)) for path in MEMORY.iterdir())
    return [path for path, match in matches if match and dead(match[1])]


def processes(dead: IsDead) -> list[int]:
    """The processes that were started by those that are dead; neither this one nor any that it descends from."""
    ours = set(_ancestors(os.getpid()))
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) not in ours:
            with contextlib.suppress(OSError):
                environment = Path("/proc", entry, "environ").read_bytes()
                match = re.search(rb"(?:^|\0)%s=([0-9.]+)\0" % owner.VARIABLE.encode(), environment)
                if match and dead(match[1].decode()):
                    found.append(int(entry))
    return found


def _ancestors(pid: int) -> Iterator[int]:
    while pid:
        yield pid
        try:
            pid = int(Path("/proc/%d/stat" % pid).read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            return


def remove(dead: IsDead) -> list[str]:
    """Remove everything of those that are dead; returns what devices and images that were."""
    loops = [loop for loop in attached() if dead(loop.owner())]
    removed = [loop.path + " over " + loop.file for loop in loops]
    deadline = time.monotonic() + PATIENCE
    while (left := processes(dead)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for loop in loops:  # else one that waits to write would not die
            _thaw_everywhere(loop)
        time.sleep(POLL)
    for loop in loops:
        now = _attached(os.path.basename(loop.path))
        if now and now.owner() == loop.owner():  # else it is gone, and the number may be somebody else's
            _release(loop)
        with contextlib.suppress(OSError):
            os.unlink(loop.file)
    for path in images(dead):
        path.unlink(missing_ok=True)
        removed.append(str(path))
    return removed


def _release(loop: Loop) -> None:
    """Detach a device and all that is above it, thawed and unmounted."""
    nodes = loop.nodes()
    for other in attached():
        if other.path != loop.path and other.is_above(nodes):
            _release(other)
    _thaw_everywhere(loop)
    for number in nodes:
        while (mountpoint := _mountpoint(number)) and _run("umount", "-R", mountpoint):
            pass
    with contextlib.suppress(AssertionError):
        drop_partitions(loop.path, IN_USE)
    _run("losetup", "-d", loop.path)


def _thaw_everywhere(loop: Loop) -> None:
    """Thaw the file systems on a device, also one whose last mount is gone or in another namespace: it is still there
    while it is frozen, and a new mount leads to it."""
    for number, node in loop.nodes().items():
        try:
            os.close(os.open(node, os.O_RDONLY | os.O_EXCL))
            continue  # nobody holds it, so no file system does
        except OSError as error:
            if error.errno != errno.EBUSY:
                continue
        mountpoint = _mountpoint(number)
        if mountpoint:
            thaw(Path(mountpoint))
            continue
        with tempfile.TemporaryDirectory(prefix="blksync-thaw-") as directory:
            _run("unshare", "--mount", "sh", "-c", THAW, "sh", node, directory)


def _mountpoint(number: int) -> str:
    """Where this process sees the device mounted last; "" where it does not."""
    found = ""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields = line.split(b" ")
        if fields[2] == b"%d:%d" % (os.major(number), os.minor(number)):
            found = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), fields[4]))
    return found


def _run(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def main(own: str = "") -> None:
    """Remove what is left."""
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        removed = remove(lambda tag: tag == own) if own else []
        remove(owner.is_dead)
    own_mounts.unshare()
    if not tracefs.missing() and not tracefs.mount():
        remove_instances()
    for line in removed:
        print(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
