# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The exceptions of the core. Each says what is wrong and what the user should do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol, Sequence

from .text import printable


class Report(Protocol):
    """How far a run came. ``warnings`` are sentences for the user."""

    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""


class BlksyncError(Exception):
    """Anything that ends a run on purpose.

    ``kind`` is a stable word for programs, ``hint`` is what the user should do about it, ``report`` how far
    the run came before it ended, None if it had not begun.
    ``message`` and ``hint`` are printable, also if a path or a label in them is not. ``items`` are what the message
    ends in, such as disks to choose from: the command prints one a line, elsewhere they are part of the message.
    """

    kind = "error"

    def __init__(self, message: str, hint: str = "", items: Sequence[str] = ()) -> None:
        self.items = tuple(map(printable, items))
        self.start = printable(message)
        self.message = _whole(self.start, self.items)
        self.hint = printable(hint)
        super().__init__(self.message)
        self.report: Report | None = None

    def __str__(self) -> str:
        return "%s %s" % (self.message, self.hint) if self.hint else self.message


def _whole(start: str, items: Sequence[str]) -> str:
    return "%s %s." % (start, "; ".join(items)) if items else start


class InvalidRequestError(BlksyncError):
    """Values of options make no sense; nothing has been touched yet. ``problems`` holds each as a sentence or two."""

    kind = "invalid_request"

    def __init__(self, message: str, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems) or (str(self),)


class DiskNotFoundError(BlksyncError):
    """An identifier matches no disk."""

    kind = "disk_not_found"


class DiskAmbiguousError(BlksyncError):
    """An identifier matches more than one disk."""

    kind = "disk_ambiguous"


class RefusedError(BlksyncError):
    """The plan is unsafe. ``refusals`` holds every reason, as Refusal."""

    kind = "refused"

    def __init__(self, refusals: tuple[Refusal, ...], message: str = "") -> None:
        reasons = " ".join(str(refusal) for refusal in refusals)
        super().__init__(message or "Refused, nothing was written: %s" % reasons)
        self.refusals = refusals


class DeclinedError(RefusedError):
    """The user was asked and did not say yes. ``refusals`` are the reasons not to begin that a yes would settle."""

    kind = "declined"

    def __init__(self, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(refusals, "Nothing was written.")


class RecordError(BlksyncError):
    """What is known of a backup disk cannot be read or written."""

    kind = "record_error"


class DeviceBusyError(BlksyncError):
    """A device could not be claimed or locked: something else uses it."""

    kind = "device_busy"


class DeviceReadError(BlksyncError):
    """Reading failed. ``path`` is the device, ``offset`` the first byte (from its start) that could not be read."""

    kind = "read_error"

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__("Cannot read %s at byte %d: %s." % (path, offset, reason))
        self.path = path
        self.offset = offset


class DeviceWriteError(BlksyncError):
    """Writing or flushing failed. ``offset`` is None if the device gives none (a failed flush)."""

    kind = "write_error"

    def __init__(self, path: str, offset: int | None, reason: str) -> None:
        where = "Cannot flush %s" % path if offset is None else "Cannot write %s at byte %d" % (path, offset)
        super().__init__("%s: %s." % (where, reason), "The target is not a backup until a later run succeeds.")
        self.path = path
        self.offset = offset


class DirectIOError(BlksyncError):
    """A block device cannot be read or written past the page cache. ``path`` is the device."""

    kind = "direct_io"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            "%s cannot be read and written past the page cache: %s." % (path, reason),
            "Only direct I/O (O_DIRECT) shows what is on the medium. "
            "Connect the disk through an adapter or driver that offers it, or use another disk.",
        )
        self.path = path


class EngineError(BlksyncError):
    """The engine could not do its work, or said something that cannot be trusted."""

    kind = "engine"


class EngineMissingError(EngineError):
    """An engine was asked for by name that this host does not have."""

    kind = "engine_missing"


class QuiesceError(BlksyncError):
    """The source could not be put into a state that is safe to copy."""

    kind = "quiesce"


class RestoreError(BlksyncError):
    """Something that was unmounted or frozen could not be put back; the hint is the command to run."""

    kind = "restore"


class DeviceGoneError(RestoreError):
    """What is to be put back lay on a disk that is gone: nothing is left that this program could do."""


class VerificationError(BlksyncError):
    """The target does not hold what was written to it."""

    kind = "verification"


class CancelledError(BlksyncError):
    """A signal or a lost connection ended the run."""

    kind = "cancelled"


class NeedsRootError(BlksyncError):
    """What was asked for needs root, and this process is somebody else's. Nothing was looked at."""

    kind = "needs_root"


class UntrustedError(BlksyncError):
    """A file or directory of ours could have been made or changed by another user. ``path`` is it."""

    kind = "untrusted"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("%s is not to be trusted: %s." % (path, reason), "Look at it, remove it, and run again.")
        self.path = path


class AlgorithmError(InvalidRequestError):
    """A hash algorithm is unknown, too weak for its purpose, or missing on this host."""

    kind = "algorithm"


class FileFormatError(BlksyncError):
    """A digest or delta file, or what stands beside it, is not what it should be. ``path`` is the file."""

    kind = "bad_file"

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__("%s cannot be used: %s." % (path, problem), hint)
        self.path = path


class DeltaError(BlksyncError):
    """A delta is whole, but not for the image as it is."""

    kind = "delta_mismatch"


class StorageError(BlksyncError):
    """A file of ours cannot be written: the disk that it is on is full, read-only or failing. ``path`` is the file."""

    kind = "storage"

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__("Cannot write %s: %s." % (path, reason), hint)
        self.path = path


class JobError(InvalidRequestError):
    """A job file is missing, not to be trusted or makes no sense. ``problems`` holds everything, a line each."""

    kind = "invalid_job"

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        super().__init__("%s: %s" % (where, "; ".join(problems)), problems=problems)
        self.where = where


class LiveDoubtError(BlksyncError):
    """What was copied while the source was in use cannot be trusted. ``reason`` says why."""

    kind = "live"

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = Reason(code, message)


def why(error: Exception) -> str:
    """Why something failed, without the path and the number that Python adds: "Permission denied". No full stop."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).rstrip(".")


def described(error: Exception) -> str:
    """As ``why``, after the file if one is known: "/etc/x: Permission denied"."""
    path = getattr(error, "filename", None)
    return "%s: %s" % (os.fsdecode(path), why(error)) if isinstance(path, (str, bytes)) else why(error)


@dataclass(frozen=True)
class Reason:
    """Why something was done otherwise than the user asked: ``code`` is a stable word for programs, ``message`` a
    part of a sentence, without a full stop."""

    code: str
    message: str


@dataclass(frozen=True)
class Refusal:
    """One reason not to begin: ``code`` for programs, ``start`` and ``items`` what is wrong (as BlksyncError has them),
    ``hint`` what to do about it."""

    code: str
    start: str
    hint: str = ""
    items: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What is wrong, with all items."""
        return _whole(self.start, self.items)

    def as_dict(self) -> dict[str, str]:
        """Plain JSON-able data."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    def __str__(self) -> str:
        return "%s %s" % (self.message, self.hint) if self.hint else self.message
