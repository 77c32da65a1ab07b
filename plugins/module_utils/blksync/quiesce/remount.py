# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Mounts a file system again exactly as before, from the same device and never by its UUID.

After a copy both disks carry the same UUIDs, and /dev/disk/by-uuid may lead to the backup.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from typing import Iterator

from ..errors import DeviceGoneError, RestoreError
from ..system import libc
from ..system.mountinfo import Mount, read_mounts
from .mount_options import Propagation, command, data, mount_flags, superblock_flags
from .mount_order import contains, related
from .step import Step

PATIENCE = 20.0  # seconds: a dying process still holds its claim on the device for a moment
POLL = 0.02
# How a file system is mounted without playing its log back.
_AS_IT_IS = {"ext3": "noload", "ext4": "noload", "xfs": "norecovery", "btrfs": "rescue=nologreplay"}


def mount_again(step: Step) -> None:
    """Mount what of the step is not mounted now, in its old order. Raises RestoreError with the command to run.

    Nothing is mounted, and no mount is taken for the old one, where the device is another.
    """
    expect_same(step)
    for index, wanted in enumerate(step.mounts):
        # What was mounted twice in the same place must be there twice.
        before = sum(_same_place(mount, wanted) for mount in step.mounts[:index])
        leave = False
        if len(_there(step, wanted)) <= before:
            leave = _mount_one(step, wanted, index)
        there = _there(step, wanted)[before:]
        if leave or not there or Propagation.of(there[0]).kind != Propagation.of(wanted).kind:
            _propagate(wanted, leave)


def find_node(step: Step, source: str = "") -> str:
    """A path that leads to the remembered device number now, ``source`` if it does.

    Raises DeviceGoneError if the number is nobody's or another device's, RestoreError if no path leads to it.
    """
    expect_same(step)
    for path in step.nodes(source):
        return path
    if step.observe() is None:
        raise gone(step, "is gone")
    raise RestoreError(
        "Cannot mount %s again: no node in /dev leads to its device %s (%s)."
        % (_where(step), step.device, step.backing_devno),
        "Look for its name with lsblk, and run: %s" % _commands(step),
    )


def expect_same(step: Step) -> None:
    """Raise DeviceGoneError where another device has the number of the step's."""
    if step.replaced:
        raise gone(step, "is gone, and another disk has its number now")


def gone(step: Step, how: str) -> DeviceGoneError:
    """Nothing is done to the disk that is there instead. ``how`` follows the device's name."""
    return DeviceGoneError(
        "%s cannot be put back: its device %s (%s) %s." % (_where(step), step.device, step.backing_devno, how),
        "Nothing was done to any other disk. Should it be mounted, plug its disk in, look for its name with lsblk, "
        "and run: %s" % _commands(step),
    )


@contextlib.contextmanager
def mounted_aside(step: Step) -> Iterator[str]:
    """A directory where the file system of a step is mounted for this moment, though it is mounted nowhere else.

    A superblock that is frozen stays in memory, and mounting its device gives that very superblock (sget_fc() in
    fs/super.c). Mounting it read-only is refused as busy, as long as it is there and writable; so what is mounted
    read-only was unmounted long ago, and nothing is written to it. Raises OSError or RestoreError.
    """
    node = find_node(step, step.mounts[0].source)
    directory = tempfile.mkdtemp(prefix="blksync-", dir="/run")
    try:
        _mount_aside(step, node, directory)
        try:
            yield directory
        finally:
            libc.unmount(directory)
    finally:
        os.rmdir(directory)


def _mount_aside(step: Step, node: str, directory: str) -> None:
    wanted = step.mounts[0]
    try:
        try:
            libc.mount(node, directory, wanted.fstype, libc.MS_RDONLY, _AS_IT_IS.get(wanted.fstype, ""))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            libc.mount(node, directory, wanted.fstype, superblock_flags(wanted), data(wanted))
        libc.mount(None, directory, None, libc.MS_PRIVATE)
    except OSError as error:
        raise RestoreError(
            "Cannot thaw the file system of %s, which is mounted nowhere: it cannot be mounted (%s)."
            % (node, os.strerror(error.errno or 0)),
            "Mount it and run: fsfreeze --unfreeze MOUNTPOINT",
        ) from error


def _where(step: Step) -> str:
    return ", ".join(step.mountpoints)


def _commands(step: Step) -> str:
    return "; ".join(command(mount, "/dev/NAME") for mount in step.mounts)


def _mount_one(step: Step, wanted: Mount, index: int) -> bool:
    """Mount it, from an earlier mount of the step where that gives it its peers. True if they are the wrong ones."""
    node = find_node(step, wanted.source)
    source = _bind_source(step, wanted, index)
    try:
        if source is not None:
            _bind(os.path.join(source.mountpoint, os.path.relpath(wanted.root, source.root)), wanted)
        elif wanted.root == "/":
            _mount_device(step, wanted, node, wanted.mountpoint)
        else:
            _mount_dir(step, wanted, node)
    except OSError as error:
        raise RestoreError(
            "Cannot mount %s at %s again: %s." % (node, wanted.mountpoint, os.strerror(error.errno or 0)),
            "Run: %s" % command(wanted, node),
        ) from error
    return source is not None and not related(source, wanted)


def _mount_device(step: Step, wanted: Mount, node: str, mountpoint: str) -> None:
    superblock, flags = superblock_flags(wanted), mount_flags(wanted)
    # A read-only mount of a writable file system needs a second call: mount(2) has one flag for both.
    first = superblock | (flags & ~libc.MS_RDONLY)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            libc.mount(node, mountpoint, wanted.fstype, first, data(wanted))
            break
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(POLL)
    if flags & libc.MS_RDONLY and not superblock & libc.MS_RDONLY:
        libc.mount(None, mountpoint, None, libc.MS_REMOUNT | libc.MS_BIND | flags)
    if not any(m.mountpoint == mountpoint and step.is_of(m) for m in read_mounts()):
        libc.unmount(mountpoint)  # the node changed hands between looking and mounting
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


def _mount_dir(step: Step, wanted: Mount, node: str) -> None:
    """Bind a directory of the file system from a mount of the whole that is there only for this moment."""
    directory = tempfile.mkdtemp(prefix="blksync-", dir="/run")
    try:
        _mount_device(step, wanted, node, directory)
        try:
            libc.mount(None, directory, None, libc.MS_PRIVATE)
            _bind(directory + wanted.root, wanted)
        finally:
            libc.unmount(directory)
    finally:
        os.rmdir(directory)


def _bind(source: str, wanted: Mount) -> None:
    libc.mount(os.path.normpath(source), wanted.mountpoint, None, libc.MS_BIND)
    libc.mount(None, wanted.mountpoint, None, libc.MS_REMOUNT | libc.MS_BIND | mount_flags(wanted))


def _bind_source(step: Step, wanted: Mount, index: int) -> Mount | None:
    """An earlier mount that contains ``wanted`` and is its peer or master, or else is in the same place."""
    containing = [other for other in step.mounts[:index] if contains(other, wanted)]
    for other in containing:
        if related(other, wanted):
            return other
    # mount(2) refuses the same device twice in one place.
    return next((other for other in containing if _same_place(other, wanted)), None)


def _propagate(wanted: Mount, leave: bool) -> None:
    try:
        for flag in Propagation.of(wanted).flags(leave):
            libc.mount(None, wanted.mountpoint, None, flag)
    except OSError as error:
        raise RestoreError(
            "Cannot restore the propagation of %s: %s." % (wanted.mountpoint, os.strerror(error.errno or 0)),
            "See mount(8), --make-shared and its kin.",
        ) from error


def _there(step: Step, wanted: Mount) -> list[Mount]:
    return [mount for mount in read_mounts() if step.is_of(mount) and _same_place(mount, wanted)]


def _same_place(one: Mount, other: Mount) -> bool:
    return (one.mountpoint, one.root) == (other.mountpoint, other.root)
