# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the processes that use a file system, for the message if it cannot be unmounted."""

from __future__ import annotations

import os
import stat
from typing import Iterator, Sequence

from ..discovery.loops import Backing, read_backing
from ..discovery.places import contains
from ..errors import BlksyncError
from ..system.mountinfo import Mount, parse_mountinfo

AT_MOST = 8  # names in one message


def describe_users(mounts: Sequence[Mount], devno: str) -> list[str]:
    """Processes ("process 1234 (vim)"), loop devices and other mount namespaces that keep it busy."""
    found: list[str] = []
    for pid, ids, elsewhere in processes(mounts, devno):
        if elsewhere:
            found.append("the mount namespace of %s" % _name(pid))
        if _uses(pid, ids, devno):
            found.append(_name(pid))
    return _at_most([*found, *_loop_devices(mounts)])


def is_written(mounts: Sequence[Mount], devno: str) -> bool:
    """Whether a process or a loop device has a file on it open for writing: it cannot even be made read-only."""
    written = any(_writes(pid, ids) for pid, ids, _elsewhere in processes(mounts, devno))
    return written or any(_loop_devices(mounts, writing=True))


def processes(mounts: Sequence[Mount], devno: str) -> Iterator[tuple[int, set[int], bool]]:
    """Each with its number, the file system's mounts seen so far in whatever namespace, whether it added some."""
    ids = {mount.mount_id for mount in mounts}
    namespaces = {_link("/proc/self/ns/mnt")}
    for pid in sorted(int(name) for name in names("/proc") if name.isdigit()):
        namespace = _link("/proc/%d/ns/mnt" % pid)
        theirs = set()
        if namespace and namespace not in namespaces:
            namespaces.add(namespace)
            theirs = _mount_ids(pid, devno) - ids
            ids |= theirs
        yield pid, ids, bool(theirs)


def _at_most(found: list[str]) -> list[str]:
    return found[:AT_MOST] + (["%d more" % (len(found) - AT_MOST)] if len(found) > AT_MOST else [])


def _writes(pid: int, ids: set[int]) -> bool:
    """Of open files only regular ones count: a pipe or a device on it is not written to through the file system."""
    for name in names("/proc/%d/fdinfo" % pid):
        info = dict(line.split(":", 1) for line in text("/proc/%d/fdinfo/%s" % (pid, name)).splitlines() if ":" in line)
        if int(info.get("mnt_id", -1)) in ids and int(info.get("flags", "0"), 8) & os.O_ACCMODE:
            try:
                if stat.S_ISREG(os.stat("/proc/%d/fd/%s" % (pid, name)).st_mode):
                    return True
            except OSError:
                continue  # closed meanwhile
    return False


def _uses(pid: int, ids: set[int], devno: str) -> bool:
    return (
        any(_opened_through(pid, path) in ids for path in ("cwd", "root", "exe"))
        or any(mount_id in ids for mount_id in mounts_of_files(pid))
        or devno in mapped(pid)
    )


def mounts_of_files(pid: int) -> Iterator[int]:
    """The mounts that the open files of a process were reached through."""
    for name in names("/proc/%d/fdinfo" % pid):
        yield mount_of_file("/proc/%d/fdinfo/%s" % (pid, name))


def _opened_through(pid: int, link: str) -> int:
    """The mount that a process's working directory, root or program lies on; O_PATH does not touch the file system."""
    try:
        fd = os.open("/proc/%d/%s" % (pid, link), os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        return mount_of_file("/proc/self/fdinfo/%d" % fd)
    finally:
        os.close(fd)


def mount_of_file(path: str) -> int:
    """The mount in a file of /proc/PID/fdinfo, or -1."""
    for line in text(path).splitlines():
        if line.startswith("mnt_id:"):
            return int(line.split()[1])
    return -1


def mapped(pid: int) -> set[str]:
    """The devnos of mapped files: fourth column of /proc/PID/maps, hexadecimal."""
    found = set()
    for line in text("/proc/%d/maps" % pid).splitlines():
        major, _colon, minor = line.split()[3].partition(":")
        found.add("%d:%d" % (int(major, 16), int(minor, 16)))
    return found


def _mount_ids(pid: int, devno: str) -> set[int]:
    try:
        mounts = parse_mountinfo(text("/proc/%d/mountinfo" % pid))
    except BlksyncError:
        return set()
    return {mount.mount_id for mount in mounts if mount.devno == devno}


def _loop_devices(mounts: Sequence[Mount], writing: bool = False) -> Iterator[str]:
    """By the device number of the file system that their files lie on; by path if the kernel does not report it."""
    numbers = {mount.devno for mount in mounts}
    for name in sorted(names("/sys/block")):
        path = text("/sys/block/%s/loop/backing_file" % name).rstrip("\n")
        if not path or (writing and text("/sys/block/%s/ro" % name).strip() != "0"):
            continue
        backing = read_backing("/dev/%s" % name, text("/sys/block/%s/dev" % name).strip())
        lies_on = backing is not None and backing.filesystem in numbers
        # The number of a btrfs subvolume is no mount's.
        if lies_on or (_is_anonymous(backing) and any(contains(mount.mountpoint, path) for mount in mounts)):
            yield "/dev/%s (%s)" % (name, path)


def _is_anonymous(backing: Backing | None) -> bool:
    return backing is None or backing.filesystem.startswith("0:")


def _name(pid: int) -> str:
    return "process %d (%s)" % (pid, text("/proc/%d/comm" % pid).strip() or "gone")


def names(path: str) -> list[str]:
    """The names in a directory; none if it is gone."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def text(path: str) -> str:
    """A file's content; empty if it is gone."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""
