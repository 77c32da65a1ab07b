# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds blocksync-fast, and tries it before anything is touched."""

from __future__ import annotations

import errno
import os
from typing import Sequence

from ...errors import EngineError, EngineMissingError
from ...system import programs
from ..base import BLOCK
from .argv import sync_argv, version_argv
from .buffer import geometry
from .output import Ended, how_it_ended, parse_sync, parse_version, quote

PROGRAM = "blocksync-fast"
VARIABLE = "BLOCKSYNC_FAST"  # environment: the program's absolute path, instead of a search

HINT = (
    "Install one for this machine (the role blksync.backup.blocksync_fast does), or use the engine native, "
    "which needs no program."
)
_PATIENCE = 10  # seconds
_TRIAL = 3 * BLOCK  # bytes: the least in which no run of blocks is lost

_REASONS = {
    errno.ENOENT: "its interpreter or loader is missing",
    errno.ENOEXEC: "it is no program for this processor",
    errno.EACCES: "it is not executable",
}


def locate() -> str:
    """The program's absolute path. Raises EngineMissingError."""
    named = os.environ.get(VARIABLE, "")
    if named and not os.path.isabs(named):
        raise _missing("%s is %r, which is no absolute path" % (VARIABLE, named))
    if named and not os.path.exists(named):
        raise _missing("%s is %s, which does not exist" % (VARIABLE, named))
    found = named or programs.find(PROGRAM)
    if found:
        return found
    searched = programs.search_path().split(os.pathsep)
    unusable = [path for path in (os.path.join(directory, PROGRAM) for directory in searched) if os.path.exists(path)]
    if unusable:
        raise cannot_start(unusable[0], _REASONS[errno.EACCES])
    raise _missing("looked in %s" % ", ".join(searched))


def try_out(path: str) -> str:
    """Ask the program for its version, and let it copy a few blocks in memory. Returns the version.

    Raises EngineError with the reason: a signal (SIGILL: built for another processor), the loader's words (a missing
    library), another program of that name.
    """
    answer = ask(path, version_argv(path))
    version = parse_version(answer.output)
    if answer.status or not version:
        words = quote(answer.errors if answer.errors.strip() else answer.output)
        raise cannot_start(path, "asked for its version it %s and said %s" % (how_it_ended(answer.status), words))
    _copy_in_memory(path)
    return version


def cannot_start(path: str, reason: str) -> EngineError:
    """The error for a program that is there and of no use."""
    return EngineError("The program %s cannot be used: %s." % (path, reason), HINT)


def _copy_in_memory(path: str) -> None:
    """What answers may still meet an illegal instruction or a missing feature when it copies."""
    content = os.urandom(_TRIAL)
    source, target = (os.memfd_create("blksync-trial", os.MFD_CLOEXEC) for _side in range(2))
    try:
        os.pwrite(source, content, 0)
        os.ftruncate(target, _TRIAL)
        plan = geometry(_TRIAL, BLOCK)
        argv = sync_argv(path, "/proc/self/fd/%d" % source, "/proc/self/fd/%d" % target, plan)
        ended = ask(path, argv, (source, target))
        words = quote(ended.errors if ended.errors.strip() else ended.output)
        if ended.status or ended.errors.strip():
            raise cannot_start(path, "copying %d bytes it %s and said %s" % (_TRIAL, how_it_ended(ended.status), words))
        try:
            parse_sync(ended.output, _TRIAL, plan)
        except EngineError as error:
            raise cannot_start(path, "copying %d bytes it said %s" % (_TRIAL, words)) from error
        if os.pread(target, _TRIAL, 0) != content:
            raise cannot_start(path, "it did not copy %d bytes as it said" % _TRIAL)
    finally:
        os.close(source)
        os.close(target)


def ask(path: str, argv: Sequence[str], descriptors: Sequence[int] = ()) -> Ended:
    """Run the program at ``path`` for a short answer, with ``descriptors`` inherited. Raises EngineError."""
    try:
        done = programs.run(argv, _PATIENCE, descriptors)
    except TimeoutError as error:
        raise cannot_start(path, "it did not end within %d seconds" % _PATIENCE) from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        known = _REASONS.get(error.errno or 0)
        raise cannot_start(path, "%s (%s)" % (known, reason) if known else reason) from error
    return Ended(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def _missing(where: str) -> EngineMissingError:
    return EngineMissingError("The program blocksync-fast is not installed (%s)." % where, HINT)
