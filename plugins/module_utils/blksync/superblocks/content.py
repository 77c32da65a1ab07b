# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The content of one superblock as plain data."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Callable

# The bytes at an offset, as many as were asked for, or None where they cannot be read.
Read = Callable[[int, int], "bytes | None"]


@dataclass(frozen=True)
class Content:
    """What lies on a device. ``kind`` is blkid's TYPE, empty for nothing that is known.

    ``unit`` is the smallest number of bytes that the content reads or writes at a time, 0 for unknown: a device with
    larger logical sectors cannot serve it. ``exact``: the sectors have to be of that size. ``damage`` are the errors
    that were recorded, as parts of a sentence, ``repair`` is the command against them, with "%s" for the device.
    ``elsewhere`` says which part of it lies on another device. ``unclean``: it was not unmounted, or is mounted.
    """

    kind: str
    unit: int = 0
    exact: bool = False
    damage: tuple[str, ...] = ()
    repair: str = ""
    elsewhere: str = ""
    unclean: bool = False
    uuid: str = ""


def field(data: bytes, layout: str, offset: int) -> Any:
    """The one value of a struct ``layout`` at ``offset``. ``data`` must be long enough."""
    return struct.unpack_from(layout, data, offset)[0]


def power_of_two(value: int, least: int, most: int) -> bool:
    """Whether it is one, and within the limits."""
    return least <= value <= most and not value & (value - 1)
