# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Freezes a file system.

While the file system is frozen, each write to it waits in the kernel and cannot be interrupted. Reading is possible.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Sequence

from ...errors import QuiesceError, RestoreError
from ...system import libc
from ...system.mountinfo import mount_id, read_mounts
from .. import open_files, stuck_writers
from ..remount import expect_same, mounted_aside
from ..step import FROZEN
from ..stuck_writers import StuckWriter
from .base import Action, NotPossibleError, cannot, remedy
from .freeze_process import DIED, FITHAW, Freezer, ioctl

POLL = 0.05  # seconds: how often a freeze that waits looks whether it is still wanted
LEAVE_PATIENCE = 1.0
STUCK_PATIENCE = 5.0  # seconds after which a write that holds up the freeze is looked for: all others wait for it


class Freeze(Action):
    """Freeze one file system, which may have several mounts."""

    action = FROZEN
    fd = -1
    _freezer: Freezer | None = None
    _stuck: Sequence[StuckWriter] = ()

    def prepare(self) -> None:
        """Open one of its mountpoints and write what is in memory while all goes on: the less waits in the freeze."""
        self._open()
        try:
            libc.sync_filesystem(self.fd)
        except OSError as error:
            raise cannot("write what is in memory to", self.step, error) from error

    def _open(self) -> None:
        if self.fd >= 0:
            return
        ours = {mount.mount_id for mount in read_mounts() if self.step.is_of(mount)}
        failure: OSError | None = None
        for mount in self.step.mounts:
            try:
                fd = os.open(mount.mountpoint, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            except OSError as error:
                failure = error
                continue
            if mount_id(fd) in ours:
                self.fd = fd
                return
            os.close(fd)  # another mount lies on top of this one
        if failure is not None and ours:  # a file system that was shut down cannot even be opened
            raise cannot("open", self.step, failure) from failure
        raise QuiesceError(
            "Cannot reach the file system of %s at %s." % (self.step.device, ", ".join(self.step.mountpoints)),
            "The mounts changed just now, or others cover them; run again.",
        )

    def do(self) -> None:
        """Freeze; it waits for what is being written."""
        self._open()
        self.stopped = self.resumed = None
        self.note = ""
        try:
            self._freezer = freezer = Freezer(self.fd)
        except OSError as error:
            raise cannot("start a process that freezes", self.step, error) from error
        try:
            outcome = self._wait(freezer)
        finally:
            self.stopped, self.resumed = freezer.called, freezer.over
        self._freezer = None
        if outcome == DIED:
            self.undo()
            raise QuiesceError("Cannot freeze %s: the process that did it was killed." % self._name(), "Run again.")
        if outcome in (errno.EOPNOTSUPP, errno.ENOTTY):
            self.close()  # or it could not be unmounted either
            raise NotPossibleError("it cannot be frozen")
        if outcome == errno.EBUSY:
            raise QuiesceError(
                "%s is frozen already, by something else." % self._name(),
                "If it is a dead run of this program, run: blksync restore-state. Otherwise: %s" % self._command(),
            )
        if outcome:
            raise cannot("freeze", self.step, OSError(outcome, os.strerror(outcome)))

    def _wait(self, freezer: Freezer) -> int:
        look_at = time.monotonic() + STUCK_PATIENCE
        while True:
            outcome = freezer.outcome(POLL)
            if outcome is not None:
                return outcome
            if time.monotonic() > look_at:
                self._stuck = stuck_writers.find(self.step.mounts, self.step.devno)
                self.note = " ".join(filter(None, [self.note, *stuck_writers.abort(self._stuck)]))
                look_at = time.monotonic() + STUCK_PATIENCE
            reason = self.unwanted()
            if reason:
                freezer.abandon()
                if not freezer.has_ended(LEAVE_PATIENCE):
                    self._stuck = stuck_writers.find(self.step.mounts, self.step.devno)
                    raise self._still_freezing()
                self._freezer = None
                if freezer.over is None:  # it was killed, or could not thaw
                    self.undo()
                raise QuiesceError("%s was not frozen: %s." % (self._name(), reason), "Run again.")

    def undo(self) -> str:
        """Thaw."""
        if self._freezer is not None:
            if not self._freezer.has_ended(0):
                raise self._still_freezing()
            self.resumed = self._freezer.over
            self._freezer = None
            if self.resumed is not None:
                return ""
        try:
            self._thaw()
            self.resumed = time.monotonic()
        except QuiesceError as error:
            raise RestoreError("Cannot thaw: %s" % error.message, "Run: %s" % self._command()) from error
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is not frozen
                return "%s was thawed by something else" % self._name()
            raise RestoreError(
                "Cannot thaw %s: %s." % (self._name(), os.strerror(error.errno or 0)),
                "%s To thaw it, run: %s" % (remedy(error), self._command()),
            ) from error
        return ""

    def _thaw(self) -> None:
        """Through what is open, else through a mount, else through the device. Raises OSError or BlksyncError."""
        if self.fd < 0:
            expect_same(self.step)
            if not any(map(self.step.is_of, read_mounts())):
                with mounted_aside(self.step) as directory:
                    _thaw_dir(directory)
                return
            self._open()
        ioctl(self.fd, FITHAW)

    def wait(self) -> None:
        """Until a freeze that the kernel had not ended is over."""
        if self._freezer is not None:
            self._freezer.wait()

    def _still_freezing(self) -> RestoreError:
        who = ", ".join(map(str, self._stuck[: open_files.AT_MOST]))
        return RestoreError(
            "The kernel has not ended freezing %s: a write to it hangs%s, and new ones wait."
            % (self._name(), " (%s)" % who if who else ""),
            "It is thawed as soon as that write ends. Should it stay frozen, run: %s" % self._command(),
        )

    def close(self) -> None:
        """Close the directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _name(self) -> str:
        return self.step.name

    def _command(self) -> str:
        return "fsfreeze --unfreeze %s" % self.step.mountpoints[0]


def _thaw_dir(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ioctl(fd, FITHAW)
    finally:
        os.close(fd)
