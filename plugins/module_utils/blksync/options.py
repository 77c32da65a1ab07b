# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the user asked for, checked for sense before anything is looked at."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import ClassVar

from .errors import InvalidRequestError

ENGINES = ("auto", "native", "blocksync_fast")
QUIESCE_MODES = ("auto", "freeze", "none")
LIVE = "live"
DISK_QUIESCE_MODES = ("auto", LIVE, "freeze", "none")
ALL, USED = SCOPES = ("all", "used")
VERIFY_MODES = ("auto", "full")
DEFAULT_PARTITIONS = (1, 2)
EVERY = "all"  # of ``partitions``: each one that the source has
DEFAULT_QUIESCE_TIMEOUT = 3600  # seconds
BLOCK_SIZES = tuple(4096 << power for power in range(9))  # bytes: to 1 MiB, the native engine's window
DEFAULT_DIGEST_MAX_AGE = 30 * 24 * 3600  # seconds
DEFAULT_DIGEST_FULL_EVERY = 100  # runs


@dataclass(frozen=True)
class CopyRequest:
    """What partitions and images have in common. ``source`` and ``target`` are as the user wrote them.

    ``quiesce_timeout`` is in seconds and counts for all pairs together. ``block_size`` is in bytes. ``scope`` is
    "all" or "used"; without ``quiesce_fallback`` a live sync that cannot be is an error, and without
    ``allow_damaged_source`` a source whose file system has recorded errors.
    """

    quiesce_modes: ClassVar[tuple[str, ...]] = QUIESCE_MODES

    source: object
    target: object
    engine: str = "auto"
    quiesce: str = "auto"
    quiesce_timeout: int = DEFAULT_QUIESCE_TIMEOUT
    quiesce_fallback: bool = True
    scope: str = ALL
    verify: str = "auto"
    allow_damaged_source: bool = False
    block_size: int = BLOCK_SIZES[0]
    compare: bool = True
    check: bool = False

    def validate(self) -> None:
        """Raise InvalidRequestError for a value that makes no sense."""
        _one_of("engine", self.engine, ENGINES)
        _one_of("quiesce", self.quiesce, self.quiesce_modes)
        _one_of("verify", self.verify, VERIFY_MODES)
        if self.block_size not in BLOCK_SIZES:
            raise InvalidRequestError(
                "block_size is %d; choose one of %s." % (self.block_size, ", ".join(map(str, BLOCK_SIZES)))
            )
        if self.quiesce_timeout < 1:
            raise InvalidRequestError("quiesce_timeout is %d; give at least 1 second." % self.quiesce_timeout)
        self._validate_scope()

    @property
    def live(self) -> bool:
        """Whether to copy while the source is in use, where that is possible."""
        return LIVE in self.quiesce_modes and self.quiesce in ("auto", LIVE)

    def _validate_scope(self) -> None:
        _one_of("scope", self.scope, SCOPES)
        if self.scope == USED and self.engine == "blocksync_fast":
            raise InvalidRequestError(
                "blocksync-fast copies whole partitions only.", "Use the engine native for scope used."
            )


@dataclass(frozen=True)
class SyncRequest(CopyRequest):
    """One sync of disks. ``source``, ``target`` and ``protected`` are identifiers (see selection).

    ``partitions`` are numbers, or EVERY for each partition that the source has.
    """

    quiesce_modes: ClassVar[tuple[str, ...]] = DISK_QUIESCE_MODES

    partitions: tuple[int, ...] | str = DEFAULT_PARTITIONS
    protected: tuple[object, ...] = ()
    power_off: bool = False

    def validate(self) -> None:
        """See CopyRequest."""
        super().validate()
        check_partitions(self.partitions)


@dataclass(frozen=True)
class ImageRequest(CopyRequest):
    """One sync of images or devices. ``source`` and ``target`` are paths, ``keep`` counts former generations.

    ``digest_dir`` is a directory or empty, ``digest_max_age`` in seconds; 0 there and in ``digest_full_every`` means no
    limit.
    """

    create: bool = False
    punch_zeros: bool = False
    keep: int = 0
    digest_dir: str = ""
    digest_max_age: int = DEFAULT_DIGEST_MAX_AGE
    digest_full_every: int = DEFAULT_DIGEST_FULL_EVERY
    algorithm: str = "auto"
    protected: tuple[object, ...] = ()

    def validate(self) -> None:
        """See CopyRequest."""
        super().validate()
        for option in ("source", "target"):
            check_path(option, getattr(self, option))
        if self.keep < 0:
            raise InvalidRequestError("keep is %d; give 0 to keep no former generation." % self.keep)
        if self.digest_dir:
            check_path("digest_dir", self.digest_dir)
        for option in ("digest_max_age", "digest_full_every"):
            if getattr(self, option) < 0:
                raise InvalidRequestError("%s is %d; give 0 for no limit." % (option, getattr(self, option)))
        if self.punch_zeros and self.engine == "blocksync_fast":
            raise InvalidRequestError("blocksync-fast cannot punch holes.", "Use the engine native for punch_zeros.")


@dataclass(frozen=True)
class DeltaRequest:
    """One delta to be made or applied. ``image`` is what is read or written; all paths are absolute.

    ``digest``, ``algorithm``, ``block_size`` and quiescing are for making, ``create`` and ``protected`` for applying.
    """

    image: str
    delta: str
    digest: str = ""
    algorithm: str = "auto"
    block_size: int = BLOCK_SIZES[0]
    quiesce: str = "auto"
    quiesce_timeout: int = DEFAULT_QUIESCE_TIMEOUT
    create: bool = False
    protected: tuple[object, ...] = ()
    check: bool = False

    def validate(self) -> None:
        """Raise InvalidRequestError for a value that makes no sense."""
        for option in ("image", "delta"):
            check_path(option, getattr(self, option))
        if self.digest:
            check_path("digest", self.digest)
        _one_of("quiesce", self.quiesce, QUIESCE_MODES)
        if self.block_size not in BLOCK_SIZES:
            raise InvalidRequestError("block_size is %d; choose one of %s." % (self.block_size, BLOCK_SIZES))
        if self.quiesce_timeout < 1:
            raise InvalidRequestError("quiesce_timeout is %d; give at least 1 second." % self.quiesce_timeout)


def check_path(option: str, value: object) -> None:
    """Raise InvalidRequestError unless it is an absolute path."""
    if not isinstance(value, str) or not os.path.isabs(value):
        raise InvalidRequestError("%s is %r; give an absolute path." % (option, value))
    try:
        possible = b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InvalidRequestError("%s is %r; no file can have that name." % (option, value))


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidRequestError("%s is %r; choose one of %s." % (option, value, ", ".join(choices)))


_NUMBERS = "Give the numbers of partitions, such as [1, 2], or the word all."
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_IN_BRACKETS = re.compile(r"\[(.*)\]|\((.*)\)")


def parse_partitions(value: object) -> tuple[int, ...] | str:
    """``partitions`` as YAML, an INI inventory, JSON or a command line hands it over.

    That is the word "all", a number, a list of numbers, each of them perhaps as text, or a text of numbers with commas
    between (``1,2``, ``[1, 2]``). A module must take it as ``type: raw``: with ``type: list`` Ansible makes numbers of
    true and 1.0 without a word. Raises InvalidRequestError for all else.
    """
    if value == EVERY:
        return EVERY
    if isinstance(value, str):
        brackets = _IN_BRACKETS.fullmatch(value.strip())
        text = (brackets.group(1) or brackets.group(2) or "") if brackets else value
        value = text.split(",") if text.strip() else []
    items = value if isinstance(value, (list, tuple)) else (value,)
    found = [_partition_number(item) for item in items]
    wrong = [_shown(item) for item, number in zip(items, found) if number is None]
    if wrong:
        raise InvalidRequestError("partitions holds %s, which is no partition number." % ", ".join(wrong), _NUMBERS)
    parsed = tuple(number for number in found if number is not None)
    check_partitions(parsed)
    return parsed


def check_partitions(partitions: tuple[int, ...] | str) -> None:
    """Raise InvalidRequestError unless they are EVERY or the numbers of different partitions."""
    if isinstance(partitions, str):
        _one_of("partitions", partitions, (EVERY,))
        return
    if not partitions:
        raise InvalidRequestError("partitions is empty.", _NUMBERS)
    wrong = [number for number in partitions if number < 1]
    if wrong:
        raise InvalidRequestError("partitions holds %s; partition numbers start at 1." % ", ".join(map(str, wrong)))
    twice = sorted({number for number in partitions if partitions.count(number) > 1})
    if twice:
        raise InvalidRequestError("partitions names %s more than once." % ", ".join(map(str, twice)))


def _partition_number(item: object) -> int | None:
    """None for what is no whole number, neither as such nor as text."""
    if isinstance(item, str):
        return int(item) if _NUMBER.fullmatch(item.strip()) else None
    return item if isinstance(item, int) and not isinstance(item, bool) else None


def _shown(item: object) -> str:
    return json.dumps(item, default=repr)
