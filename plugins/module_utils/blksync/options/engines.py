# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which features each engine has. The options need this before an engine is made; ``Engine.supports`` returns it."""

from __future__ import annotations

from typing import FrozenSet, Mapping

RANGES = "ranges"  # copies parts of a pair; an engine without takes the whole pair only
HOLES = "holes"  # makes holes of zeros in an image file
LIMIT = "limit"  # reads and writes at most so many bytes a second

_NATIVE = frozenset((RANGES, HOLES, LIMIT))
FEATURES: Mapping[str, FrozenSet[str]] = {"auto": _NATIVE, "native": _NATIVE, "blocksync_fast": frozenset(())}


def supports(engine: str, feature: str) -> bool:
    """Whether the engine of that name has the feature."""
    return feature in FEATURES.get(engine, ())
