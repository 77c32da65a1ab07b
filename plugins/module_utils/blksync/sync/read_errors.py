# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Explains what a read error during a copy means for the backup, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from ..errors import DeviceReadError
from .result import PairReport


@contextmanager
def explained(entry: PairReport, source: str) -> Iterator[None]:
    """Give a DeviceReadError that is raised inside the hint that fits; ``source`` is the path that is read from."""
    try:
        yield
    except DeviceReadError as error:
        error.hint = " ".join((_target_now(entry), _what_to_do(error.path, source)))
        raise


def _target_now(entry: PairReport) -> str:
    what = "partition %d" % entry.pair.number if entry.pair.number else "the image"
    if entry.bytes_written:
        return (
            "The target now holds neither the old nor the new state of %s: it is no backup until a later run succeeds."
            % what
        )
    if entry.writing:
        return (
            "The target may hold neither the old nor the new state of %s: it is no backup until a later run succeeds."
            % what
        )
    return "Nothing was written to %s of the target: it holds the old state." % what


def _what_to_do(failed: str, source: str) -> str:
    if failed == source:
        return (
            "The source is failing: rescue it to a new disk (ddrescue), or replace it and restore it from another "
            "backup disk. Do not sync it to your other backup disks."
        )
    return "The backup disk is failing: replace it, and rely on your other backup disk until then."
