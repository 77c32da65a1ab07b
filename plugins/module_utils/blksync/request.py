# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the user asked for, checked for sense before anything is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InvalidRequestError

ENGINES = ("auto", "native", "blocksync_fast")
QUIESCE_MODES = ("auto", "freeze", "none")
VERIFY_MODES = ("auto", "full")
DEFAULT_PARTITIONS = (1, 2)
DEFAULT_QUIESCE_TIMEOUT = 3600  # seconds


@dataclass(frozen=True)
class SyncRequest:
    """One sync. ``source``, ``target`` and ``protected`` are identifiers as the user wrote them (see selection).

    ``quiesce_timeout`` is in seconds and counts for each pair on its own.
    """

    source: object
    target: object
    partitions: tuple[int, ...] = DEFAULT_PARTITIONS
    engine: str = "auto"
    quiesce: str = "auto"
    quiesce_timeout: int = DEFAULT_QUIESCE_TIMEOUT
    verify: str = "auto"
    protected: tuple[object, ...] = ()
    eject: bool = False
    check: bool = False

    def validate(self) -> None:
        """Raise InvalidRequestError for a value that makes no sense."""
        _one_of("engine", self.engine, ENGINES)
        _one_of("quiesce", self.quiesce, QUIESCE_MODES)
        _one_of("verify", self.verify, VERIFY_MODES)
        check_partitions(self.partitions)
        if self.quiesce_timeout < 1:
            raise InvalidRequestError("quiesce_timeout is %d; give at least 1 second." % self.quiesce_timeout)


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidRequestError("%s is %r; choose one of %s." % (option, value, ", ".join(choices)))


def check_partitions(numbers: tuple[int, ...]) -> None:
    """Raise InvalidRequestError unless they are the numbers of different partitions."""
    if not numbers:
        raise InvalidRequestError("partitions is empty.", "Name the partition numbers to sync, such as [1, 2].")
    wrong = [number for number in numbers if number < 1]
    if wrong:
        raise InvalidRequestError("partitions holds %s; partition numbers start at 1." % ", ".join(map(str, wrong)))
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise InvalidRequestError("partitions names %s more than once." % ", ".join(map(str, twice)))
