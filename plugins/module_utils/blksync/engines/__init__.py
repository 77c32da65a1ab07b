# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The engines: what compares and copies the blocks of a pair."""

from __future__ import annotations

from .base import Engine
from .blocksync_fast import BlocksyncFastEngine, missing
from .native import NativeEngine


def choose(name: str, parts: bool = False) -> Engine:
    """The engine of that name; "auto" is the blocksync-fast program where it is installed, else ours.

    ``parts``: it shall copy parts of a pair, which the program cannot.

    Raises EngineMissingError where the program was asked for by name and is not there.
    """
    if name == "native" or (parts and name == "auto"):
        return NativeEngine()
    program = BlocksyncFastEngine.find()
    if program is None and name == "blocksync_fast":
        raise missing()
    return program or NativeEngine()
