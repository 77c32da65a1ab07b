# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Chooses the engine by its name."""

from __future__ import annotations

from .base import Engine
from .blocksync_fast.engine import BlocksyncFastEngine
from .native.engine import NativeEngine


def choose(name: str) -> Engine:
    """The engine of that name; "auto" is "native", which is faster and the only one that copies ranges.

    Raises EngineMissingError or EngineError if the program blocksync-fast, asked for by name, is not there or
    cannot be used.
    """
    return BlocksyncFastEngine.find() if name == "blocksync_fast" else NativeEngine()
