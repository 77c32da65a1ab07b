# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Ranges of bytes: of a device, of a pair, of a buffer. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Range:
    """``length`` bytes from byte ``offset`` of both sides of a pair; both are multiples of the block,
    but for the end of the last range, which may be the end of the pair."""

    offset: int
    length: int


class Extent(NamedTuple):
    """``length`` bytes at ``offset`` of a buffer, or of the devices."""

    offset: int
    length: int


def whole(size: int) -> tuple[Range, ...]:
    """The one range that is all of a pair of ``size`` bytes."""
    return (Range(0, size),) if size else ()
