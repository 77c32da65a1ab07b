# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the processes whose writes keep a file system from being frozen, and ends those that wait for FUSE.

FIFREEZE waits for every write that is under way (percpu_down_write() of sb->s_writers, fs/super.c), and only the end of
those writes ends that wait. A write can wait for a page of a file that a FUSE server keeps: by a page fault in the
buffer, or by sendfile(2). If the server does not answer, the write never ends, and every other write to the file system
waits as well. SIGKILL does not help: a request that the server has taken is waited for (request_wait_answer(),
fs/fuse/dev.c). To abort the connection always helps (Documentation/filesystems/fuse.rst, "Aborting a filesystem
connection"): each of its requests then fails.

Whatever reads the memory map of a process may have to wait for that process. So the search is made by a child, which is
killed if it takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from dataclasses import asdict, dataclass
from typing import Any, Iterator, Sequence

from ..errors import BlksyncError
from ..system import libc
from ..system.mountinfo import Mount, parse_mountinfo, read_mounts
from . import open_files

CONNECTIONS = "/sys/fs/fuse/connections"  # one directory for each, by the device number of the mount
PATIENCE = 10.0  # seconds for the search
WAITS_FOR_PAGE = ("handle_mm_fault", "fuse_", "request_wait_answer")  # functions in /proc/PID/stack
WAITS_FOR_THAW = "percpu_"  # a write that waits for the freeze to be over, and does not hold it up


@dataclass(frozen=True)
class StuckWriter:
    """A process inside a write. ``connections`` are the numbers of the FUSE connections that it may wait for."""

    pid: int
    name: str
    uid: int
    connections: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "process %d (%s) of user %d" % (self.pid, self.name, self.uid)


def find(mounts: Sequence[Mount], devno: str) -> list[StuckWriter]:
    """The processes that are inside a write to the file system of these mounts, which is being frozen.

    Empty if that cannot be found out within PATIENCE. Other threads must not run in this process.
    """
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return []
    if child == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            found = [asdict(each) for each in _search(mounts, devno)]
            os.write(writer, json.dumps(found).encode()[:60000])
        finally:
            os._exit(0)
    os.close(writer)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    try:
        answer = b""
        while poll.poll(PATIENCE * 1000):
            part = os.read(reader, 65536)
            if not part:
                break
            answer += part
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0 if answer else os.WNOHANG)
    return _parse(answer)


def abort(writers: Sequence[StuckWriter]) -> list[str]:
    """Abort every FUSE connection that one of them waits for. Returns a sentence for each that was aborted."""
    said = []
    done: set[int] = set()
    with _connections():
        for writer in writers:
            for number in set(writer.connections) - done:
                with contextlib.suppress(OSError):
                    _write(abort_file(number))
                    done.add(number)
                    said.append(
                        "%s was inside a write that waited for a FUSE file system which did not answer; as all other "
                        "writes waited too, its connection was aborted (%s)." % (writer, abort_file(number))
                    )
    return said


def abort_file(number: int) -> str:
    """What ends a FUSE connection if it is written to."""
    return "%s/%d/abort" % (CONNECTIONS, number)


def _search(mounts: Sequence[Mount], devno: str) -> Iterator[StuckWriter]:
    with _connections():
        for pid, ids, _elsewhere in open_files.processes(mounts, devno):
            for task in open_files.names("/proc/%d/task" % pid):
                directory = "/proc/%d/task/%s" % (pid, task)
                stack = open_files.text("%s/stack" % directory)
                if WAITS_FOR_THAW in stack or not _is_inside_write(directory, ids):
                    continue
                waits = any(function in stack for function in WAITS_FOR_PAGE)
                connections = tuple(sorted(_fuse_of(pid))) if waits else ()
                name = open_files.text("/proc/%d/comm" % pid).strip()
                yield StuckWriter(pid, name, os.stat("/proc/%d" % pid).st_uid, connections)
                break


def _is_inside_write(task: str, ids: set[int]) -> bool:
    """Whether the system call of a task has a file of these mounts as one of its first arguments: write(fd, ...),
    sendfile(out, in, ...), copy_file_range(in, offset, out, ...)."""
    arguments = open_files.text("%s/syscall" % task).split()[1:4]
    for argument in arguments:
        with contextlib.suppress(ValueError):
            number = int(argument, 16)
            if number < 1 << 20 and open_files.mount_of_file("%s/fdinfo/%d" % (task, number)) in ids:
                return True
    return False


def _fuse_of(pid: int) -> set[int]:
    """The connections that have requests without an answer, of all files that the process has mapped or open."""
    try:
        known = {mount.mount_id: mount for mount in parse_mountinfo(open_files.text("/proc/%d/mountinfo" % pid))}
    except BlksyncError:
        known = {}
    opened = {known[number].devno for number in open_files.mounts_of_files(pid) if number in known}
    # virtiofs has connections as well: that is what virtual machines lie on.
    other = {mount.devno for mount in (*known.values(), *read_mounts()) if not mount.fstype.startswith("fuse")}
    numbers = {devno.partition(":") for devno in (open_files.mapped(pid) | opened) - other}
    return {int(minor) for major, _colon, minor in numbers if major == "0" and _waiting(minor)}


def _waiting(number: str) -> bool:
    return open_files.text("%s/%s/waiting" % (CONNECTIONS, number)).strip() not in ("", "0")


@contextlib.contextmanager
def _connections() -> Iterator[None]:
    """With the control file system of FUSE at its place. systemd mounts it there; elsewhere it is mounted for now."""
    mounted = any(mount.mountpoint == CONNECTIONS and mount.fstype == "fusectl" for mount in read_mounts())
    if not mounted:
        with contextlib.suppress(OSError):
            libc.mount("fusectl", CONNECTIONS, "fusectl", 0)
    try:
        yield
    finally:
        if not mounted:
            with contextlib.suppress(OSError):
                libc.unmount(CONNECTIONS)


def _write(path: str) -> None:
    with open(path, "wb", 0) as file:
        file.write(b"1")


def _parse(answer: bytes) -> list[StuckWriter]:
    try:
        found: Any = json.loads(answer)
    except ValueError:
        return []
    return [StuckWriter(**{**each, "connections": tuple(each["connections"])}) for each in found]
