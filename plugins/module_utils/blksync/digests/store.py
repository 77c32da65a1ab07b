# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the digest of an image, decides whether it is valid, and stores the new one after the target was verified."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass, replace
from typing import Collection, Iterator, Protocol

from ..errors import AlgorithmError, FileFormatError, InvalidRequestError, Reason, StorageError, UntrustedError
from ..formats import algorithms
from ..formats.digest_file import DigestReader, DigestWriter
from ..formats.header import Header
from ..system import atomic_file
from . import record as digest_record
from .compare import DigestComparison
from .record import DigestKey, Facts, Record, Validity

SUFFIX = ".digest"


class HashingEngine(Protocol):
    """What is asked of an engine here."""

    name: str
    version: str

    def algorithms(self) -> Collection[str] | None:
        """The names of the hash algorithms that others who use its files have; None: the same as we."""


@dataclass(frozen=True)
class DigestReport:
    """For the result of a sync: the digest at ``path``, with blocks of ``block_size`` bytes.

    ``used``: the target was not read. Otherwise ``reason`` says why it was.
    """

    path: str
    algorithm: str
    block_size: int
    used: bool
    reason: Reason | None


class PairDigest:
    """The digest of one image in one run.

    ``checksums`` is for the engine, None if no digests are kept; ``reason`` says why the digest is not used, and is
    None if it is.
    """

    def __init__(
        self,
        path: str = "",
        checksums: DigestComparison | None = None,
        reason: Reason | None = None,
        record: Record | None = None,
    ) -> None:
        self.path = path
        self.checksums = checksums
        self.reason = reason
        self._record = record  # as it is while the target is being written

    @property
    def used(self) -> bool:
        """Whether the target need not be read."""
        return bool(self.checksums and self.checksums.known)

    def begin(self) -> None:
        """Whoever finds the digest from now on must not use it. Raises StorageError."""
        if self._record:
            with _storing(self.path):
                atomic_file.replace(self.path + ".json", self._record.to_json())

    def keep(self, holds: Facts) -> None:
        """The target was verified to be what the fresh digest says, and looks like ``holds``. Raises StorageError."""
        if not (self._record and self.checksums and self.checksums.fresh):
            return
        with _storing(self.path):
            content = self.checksums.fresh.finish()
            atomic_file.move(self.checksums.fresh.path, self.path)
            record = digest_record.finished(self._record, holds, content, int(time.time()), self.used)
            atomic_file.replace(self.path + ".json", record.to_json())

    def report(self) -> DigestReport | None:
        """For the result of a sync; None if no digests are kept."""
        if not self.checksums:
            return None
        return DigestReport(self.path, self.checksums.algorithm.name, self.checksums.block, self.used, self.reason)


class DigestStore:
    """The digests in one directory, for one run with ``engine``. Raises InvalidRequestError if the directory is not
    safe, AlgorithmError for an algorithm that is unknown, missing or weak."""

    def __init__(self, directory: str, engine: HashingEngine, algorithm: str, validity: Validity) -> None:
        self._dir = directory
        self._engine = "%s %s" % (engine.name, engine.version)
        self._others = engine.algorithms()
        self._algorithm = algorithm
        self._validity = validity
        algorithms.choose(algorithm, self._others)
        _check_dir(directory)

    @contextlib.contextmanager
    def opened(self, key: DigestKey, check: bool, compare: bool = True) -> Iterator[PairDigest]:
        """The digest for an image. ``check``: only look, and make no file; ``compare`` False: do not use it.

        Raises StorageError if there is no room for a fresh digest.
        """
        path = os.path.join(self._dir, key.name + SUFFIX)
        record = _read_record(path + ".json")
        chosen = algorithms.choose(self._algorithm, self._others, record.key.algorithm if record else "")
        key = replace(key, engine=self._engine, algorithm=chosen.name)
        with contextlib.ExitStack() as files:
            known: DigestReader | None = None
            reason: Reason | None = Reason("not_compared", "everything is written")
            if compare:
                known, reason = self._known(path, record, key, files)
            fresh = None
            if not check:
                header = Header(key.size, key.block, int(time.time()), chosen.number)
                with _storing(path):
                    os.makedirs(self._dir, mode=0o700, exist_ok=True)
                    fresh = files.enter_context(DigestWriter(path + ".new", header, chosen))
            checksums = DigestComparison(chosen, key.block, known, fresh)
            yield PairDigest(path, checksums, reason, digest_record.unfinished(record, key))

    def _known(
        self, path: str, record: Record | None, key: DigestKey, files: contextlib.ExitStack
    ) -> tuple[DigestReader | None, Reason | None]:
        """The digest of the last run, or why it is not valid."""
        if record is None:
            if os.path.exists(path):
                return None, Reason("record_unreadable", "its record is not readable")
            return None, Reason("no_digest", "there is none for the image yet")
        reason = digest_record.stale(record, key, self._validity, int(time.time()))
        if reason:
            return None, reason
        try:
            reader = files.enter_context(DigestReader(path))
            if reader.content() != record.content:
                raise FileFormatError(path, "it is not the file that was written")
        except (FileFormatError, AlgorithmError) as error:
            return None, Reason("digest_invalid", str(error).rstrip("."))
        header = reader.header
        if (header.data_size, header.block_size, reader.algorithm.name) != (
            key.size,
            key.block,
            key.algorithm,
        ):
            return None, Reason("digest_invalid", "its header does not say what its record says")
        return reader, None


def _read_record(path: str) -> Record | None:
    try:
        return digest_record.parse(atomic_file.read(path).decode("utf-8"))
    except (OSError, UnicodeDecodeError, UntrustedError):
        return None


def _check_dir(directory: str) -> None:
    """A digest decides what is not copied: nobody else may be able to change it. A missing directory is made later."""
    try:
        status = os.stat(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidRequestError(
            "Cannot use the directory of the digests, %s: %s." % (directory, os.strerror(error.errno or 0))
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise InvalidRequestError("digest_dir %s is not a directory." % directory)
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidRequestError(
            "digest_dir %s can be written by others, who could keep changes from being copied." % directory,
            "Give it to root alone: chown root %s; chmod 700 %s." % (directory, directory),
        )


@contextlib.contextmanager
def _storing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            path,
            os.strerror(error.errno or 0),
            "Give digest_dir a directory with room for it, or leave digest_dir out.",
        ) from error
