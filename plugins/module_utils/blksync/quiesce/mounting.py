# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Mounting a file system again exactly as it was, by the device that it was on and never by its UUID.

After a copy both disks carry the same UUIDs, and /dev/disk/by-uuid may lead to the backup.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time

from ..device import device_number
from ..discovery.mounts import read_mounts
from ..errors import RestoreError
from ..machine import Mount
from . import libc
from .mount_options import Propagation, command, data, mount_flags, superblock_flags
from .step import Step

PATIENCE = 5.0  # seconds: a dying process still holds its claim on the device for a moment
POLL = 0.02


def mount_again(step: Step) -> None:
    """Mount what of the step is not mounted now, in its old order. Raises RestoreError with the command to run."""
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

    Raises RestoreError where there is none.
    """
    for path in (source, step.device, "/dev/block/%s" % step.carrier):
        # Links below /dev/disk can be given to the other disk at any moment.
        if path.startswith("/dev/") and not path.startswith("/dev/disk/"):
            try:
                status = os.stat(path)
            except OSError:
                continue
            if stat.S_ISBLK(status.st_mode) and device_number(status) == step.carrier:
                return path
    raise RestoreError(
        "Cannot mount %s again: its device %s (%s) is gone." % (step.mountpoints[0], step.device, step.carrier),
        "Plug the disk in again, look for its name with lsblk, and run: %s"
        % "; ".join(command(mount, "/dev/NAME") for mount in step.mounts),
    )


def _mount_one(step: Step, wanted: Mount, index: int) -> bool:
    """Mount it, from an earlier mount of the step where that gives it its peers. True where they are the wrong ones."""
    node = find_node(step, wanted.source)
    source = _bind_source(step, wanted, index)
    try:
        if source is not None:
            _bind(os.path.join(source.mountpoint, os.path.relpath(wanted.root, source.root)), wanted)
        elif wanted.root == "/":
            _mount_device(step, wanted, node, wanted.mountpoint)
        else:
            _mount_folder(step, wanted, node)
    except OSError as error:
        raise RestoreError(
            "Cannot mount %s at %s again: %s." % (node, wanted.mountpoint, os.strerror(error.errno or 0)),
            "Run: %s" % command(wanted, node),
        ) from error
    return source is not None and not _related(source, wanted)


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
    if not any(m.mountpoint == mountpoint and m.devno == step.devno for m in read_mounts()):
        libc.unmount(mountpoint)  # the node changed hands between looking and mounting
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


def _mount_folder(step: Step, wanted: Mount, node: str) -> None:
    """Bind a folder of the file system from a mount of the whole that is there only for this moment."""
    folder = tempfile.mkdtemp(prefix="blksync-", dir="/run")
    try:
        _mount_device(step, wanted, node, folder)
        try:
            libc.mount(None, folder, None, libc.MS_PRIVATE)
            _bind(folder + wanted.root, wanted)
        finally:
            libc.unmount(folder)
    finally:
        os.rmdir(folder)


def _bind(source: str, wanted: Mount) -> None:
    libc.mount(os.path.normpath(source), wanted.mountpoint, None, libc.MS_BIND)
    libc.mount(None, wanted.mountpoint, None, libc.MS_REMOUNT | libc.MS_BIND | mount_flags(wanted))


def _bind_source(step: Step, wanted: Mount, index: int) -> Mount | None:
    """An earlier mount that contains ``wanted`` and is its peer or master, or else is in the same place."""
    containing = [
        other for other in step.mounts[:index] if other.root == "/" or (wanted.root + "/").startswith(other.root + "/")
    ]
    for other in containing:
        if _related(other, wanted):
            return other
    # mount(2) refuses the same device twice in one place.
    return next((other for other in containing if _same_place(other, wanted)), None)


def _related(source: Mount, wanted: Mount) -> bool:
    group, ours = Propagation.of(source).shared, Propagation.of(wanted)
    return bool(group) and group in (ours.shared, ours.master)


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
    return [mount for mount in read_mounts() if mount.devno == step.devno and _same_place(mount, wanted)]


def _same_place(one: Mount, other: Mount) -> bool:
    return (one.mountpoint, one.root) == (other.mountpoint, other.root)
