# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Unmounts a file system that cannot be frozen, or mounts it read-only if it is busy."""

from __future__ import annotations

import errno
import os
import time

from ...errors import DeviceBusyError, QuiesceError, RestoreError
from ...system import libc
from ...system.device import Device, open_source
from ...system.mountinfo import Mount, read_mounts
from ..mount_options import data, mount_flags, superblock_flags
from ..open_files import describe_users
from ..remount import expect_same, find_node, mount_again
from ..step import Step
from .base import Action, NotPossibleError

PATIENCE = 0.5  # seconds: udev and its kin look into a file system for a moment now and then
POLL = 0.05


class Unmount(Action):
    """Unmount every mount of one file system, never lazily, and claim its device so that nobody mounts it.

    What somebody else has unmounted already is left so: an ESP that is mounted on demand goes by itself after two
    minutes without use (systemd-gpt-auto-generator(8), systemd.automount(5) TimeoutIdleSec=).
    """

    action = "unmounted"
    claim: Device | None = None
    _was_mounted = True

    def do(self) -> None:
        """Unmount children before parents; at the first that is busy all are mounted again."""
        self._was_mounted = any(map(self.step.is_of, read_mounts()))
        if self._was_mounted:
            if self.step.obstacle:
                raise NotPossibleError(self.step.obstacle)
            _expect_unchanged(self.step)
        node = _node_to_mount_again(self.step)
        try:
            for mount in reversed(self.step.mounts) if self._was_mounted else ():
                _unmount(mount, self.step)
            self.claim = open_source(node, self.step.backing_devno, exclusive=True)
        except OSError as error:
            self.undo()
            raise NotPossibleError("it is %s" % _reason(error)) from error
        except DeviceBusyError as error:
            self.undo()
            raise NotPossibleError("it is mounted in another mount namespace, or claimed otherwise") from error

    def undo(self) -> str:
        """Give up the claim and mount again what is not mounted."""
        self.close()
        if self._was_mounted:
            mount_again(self.step)
        return ""

    def close(self) -> None:
        """Give up the claim."""
        if self.claim is not None:
            self.claim.close()
            self.claim = None


class RemountReadOnly(Action):
    """Make the whole file system read-only, with all of its mounts."""

    action = "remounted_read_only"

    def do(self) -> None:
        """Refused by the kernel while a file is open for writing."""
        _expect_unchanged(self.step)
        try:
            _remount(self._mount(), libc.MS_RDONLY)
        except OSError as error:
            users = describe_users(self.step.mounts, self.step.devno)
            raise QuiesceError(
                "%s cannot be unmounted (%s) nor remounted read-only (%s)%s."
                % (
                    ", ".join(self.step.mountpoints),
                    self.step.obstacle or "it is busy",
                    _reason(error),
                    "; it is used by %s" % ", ".join(users) if users else "",
                ),
                "End what uses it and run again.",
            ) from error

    def undo(self) -> str:
        """Make it writable again, unless it is."""
        expect_same(self.step)
        mount = self._mount()
        if not any(each.holds_still for each in read_mounts() if self.step.is_of(each)):
            return "%s was made writable by something else" % mount.mountpoint
        try:
            _remount(mount, 0)
        except OSError as error:
            raise RestoreError(
                "Cannot make %s writable again: %s." % (mount.mountpoint, _reason(error)),
                "Run: mount -o remount,rw %s" % mount.mountpoint,
            ) from error
        return ""

    def _mount(self) -> Mount:
        """One that is itself writable, if there is any: remounting sets the flags of the mount as well."""
        writable = [mount for mount in self.step.mounts if "ro" not in mount.options.split(",")]
        return (writable or list(self.step.mounts))[0]


def _node_to_mount_again(step: Step) -> str:
    try:
        return find_node(step)
    except RestoreError as error:
        raise QuiesceError("%s could not be mounted again: its device is gone." % step.mountpoints[0]) from error


def _remount(mount: Mount, more: int) -> None:
    flags = libc.MS_REMOUNT | superblock_flags(mount) | mount_flags(mount) | more
    try:
        libc.mount(None, mount.mountpoint, None, flags, data(mount))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        libc.mount(None, mount.mountpoint, None, flags)  # some file systems refuse at a remount what they show


def _unmount(mount: Mount, step: Step) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            libc.unmount(mount.mountpoint)
            return
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT) and not _is_mounted(mount, step):
                return  # it went with another one, as peers do
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(POLL)


def _is_mounted(mount: Mount, step: Step) -> bool:
    return any(step.is_of(each) and _place(each) == _place(mount) for each in read_mounts())


def _expect_unchanged(step: Step) -> None:
    now = sorted(_place(each) for each in read_mounts() if step.is_of(each))
    if now != sorted(_place(mount) for mount in step.mounts):
        raise QuiesceError(
            "The mounts of %s changed just now." % ", ".join(mount.mountpoint for mount in step.mounts), "Run again."
        )


def _place(mount: Mount) -> tuple[str, str]:
    return (mount.mountpoint, mount.root)


def _reason(error: OSError) -> str:
    return "busy" if error.errno == errno.EBUSY else os.strerror(error.errno or 0).lower()
