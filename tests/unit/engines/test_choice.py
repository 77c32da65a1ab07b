# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines say of themselves, and what the options know of them, is the same."""

from __future__ import annotations

import pytest

from blksync.engines.blocksync_fast.engine import BlocksyncFastEngine
from blksync.engines.choice import choose
from blksync.engines.native.engine import NativeEngine
from blksync.options import ENGINES
from blksync.options.engines import FEATURES, HOLES, RANGES, supports


@pytest.mark.parametrize("name", ["auto", "native"])
def test_auto_is_the_native_engine(name: str) -> None:
    engine = choose(name)
    assert isinstance(engine, NativeEngine)
    assert (engine.supports(RANGES), engine.supports(HOLES)) == (supports(name, RANGES), supports(name, HOLES))


def test_the_program_takes_whole_pairs_only_and_makes_no_holes() -> None:
    engine = BlocksyncFastEngine("/none", "1.0.7")
    assert not engine.supports(RANGES)
    assert not engine.supports(HOLES)


def test_each_engine_that_can_be_asked_for_has_its_features() -> None:
    assert set(ENGINES) == set(FEATURES) == {"auto", NativeEngine.name, BlocksyncFastEngine.name}


def test_an_unknown_engine_has_no_feature() -> None:
    assert not supports("dd", RANGES)
