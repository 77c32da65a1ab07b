# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The records of all backup disks: one file a disk, in /var/lib/blksync/disks."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import RecordError
from ..paths import STATE_DIR
from ..system import atomic_file
from . import disk_record
from .disk_record import DiskKey, DiskRecord

DIRECTORY = "disks"
SUFFIX = ".json"
LARGEST = 1024 * 1024  # bytes; a record has a few thousand


@dataclass(frozen=True)
class Stored:
    """All records that could be read, and for each other file a sentence that says why not."""

    records: tuple[DiskRecord, ...]
    problems: tuple[str, ...] = ()


def load(key: DiskKey, directory: str = "") -> DiskRecord | None:
    """The record of one disk; None if there is none. Raises RecordError if it cannot be read."""
    path = _path(key, directory)
    try:
        record = _read(path)
    except FileNotFoundError:
        return None
    return record if record.key.name == key.name else None  # the WWN of a disk with a serial may be unknown at times


def load_all(directory: str = "") -> Stored:
    """The records of all disks, sorted by the names of their files."""
    place = os.path.join(directory or STATE_DIR, DIRECTORY)
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith(SUFFIX) and not name.startswith("."))
    except FileNotFoundError:
        return Stored(())
    except OSError as error:
        return Stored((), (_sentence(place, error),))
    records, problems = [], []
    for name in names:
        try:
            records.append(_read(os.path.join(place, name)))
        except FileNotFoundError:
            pass
        except RecordError as error:
            problems.append(str(error))
    return Stored(tuple(records), tuple(problems))


def save(record: DiskRecord, directory: str = "") -> None:
    """Replace the record of the disk; it is on the medium when this returns. Raises RecordError."""
    path = _path(record.key, directory)
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        atomic_file.replace(path, disk_record.to_text(record))
    except OSError as error:
        raise RecordError(
            "The record of the backup disk cannot be written to %s: %s." % (path, os.strerror(error.errno or 0)),
            "Make room there, or mount it for writing, and run again.",
        ) from error


def _read(path: str) -> DiskRecord:
    """Raises FileNotFoundError, RecordError."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordError(_sentence(path, error)) from error
    try:
        return disk_record.from_text(content.decode())
    except ValueError as error:
        raise RecordError(
            "The record %s cannot be understood: %s." % (path, error),
            "Remove it; the next sync of that disk writes a new one.",
        ) from error


def _sentence(path: str, error: OSError) -> str:
    return "%s cannot be read: %s." % (path, os.strerror(error.errno or 0))


def _path(key: DiskKey, directory: str) -> str:
    return os.path.join(directory or STATE_DIR, DIRECTORY, key.name + SUFFIX)
