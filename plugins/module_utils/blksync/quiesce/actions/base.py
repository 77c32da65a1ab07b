# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The interface of an action: one way to quiesce something and to put it back."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from typing import Callable

from ...errors import QuiesceError
from ..step import Step

# What the kernel answers for a file system or a device that has failed (errno(3)).
_FAILED = (errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ENODATA, errno.EUCLEAN, errno.ESHUTDOWN)
_SHORT = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC)


class NotPossibleError(Exception):
    """This measure does not fit here; the next one may. Everything of its own is as it was before."""


def cannot(doing: str, step: Step, error: OSError) -> QuiesceError:
    """What a system call that failed means for the user. ``doing`` is a verb, such as "freeze"."""
    kind = " (%s)" % step.fstype if step.fstype else ""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error.filename, str) and error.filename not in ("", *step.mountpoints):
        reason += " (%s)" % error.filename
    return QuiesceError("Cannot %s %s%s: %s." % (doing, step.name, kind, reason), remedy(error))


def remedy(error: OSError) -> str:
    """What to do about it."""
    if error.errno in _FAILED:
        return (
            "The file system or its disk has failed, and the kernel log (dmesg) says how. "
            "Unmount the file system, check it (fsck, or xfs_repair for xfs), mount it and run again."
        )
    if error.errno in _SHORT:
        return "The machine is short of memory, processes or open files. Run again when it is not."
    return "Look into the kernel log (dmesg), and run again."


class Action(ABC):
    """Does one step in one way and undoes it. Made anew from the step, it undoes what another process did.

    ``action`` is the word for it in reports and in the state file. ``unwanted`` is asked while do() has to wait: the
    reason not to wait any longer, or "". ``stopped`` and ``resumed`` are set by what makes writers wait.
    """

    action = ""
    stopped: float | None = None  # when writers began to wait; seconds of the monotonic clock
    resumed: float | None = None  # when they went on
    note = ""  # what the user should know of how it was done

    def __init__(self, step: Step, unwanted: Callable[[], str] = lambda: "") -> None:
        self.step = step
        self.unwanted = unwanted

    def prepare(self) -> None:
        """Everything slow that do() and undo() need and that stops nobody. Raises QuiesceError."""

    @abstractmethod
    def do(self) -> None:
        """Quiesce it. Raises NotPossibleError or QuiesceError with everything of its own put back, or
        RestoreError where that failed."""

    @abstractmethod
    def undo(self) -> str:
        """Put it back; harmless if nothing was done or it has been undone already. Raises RestoreError.

        Returns a reason if it did not stay quiesced until now, else "".
        """

    def wait(self) -> None:
        """Wait, however long, for what undo() could not undo because the kernel had not ended it."""

    def close(self) -> None:
        """Let go of what prepare() opened; only after undo()."""
