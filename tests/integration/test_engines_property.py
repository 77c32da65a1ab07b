# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever differs, wherever it lies: after success the pair is equal, and the numbers are exact. For every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blksync.engines.base import CopyOptions, Engine, Outcome
from blksync.engines.blocksync_fast.engine import BlocksyncFastEngine
from blksync.engines.monitor import Monitor
from blksync.engines.native.engine import NativeEngine
from blksync.ranges import whole
from blksync.system import device
from tests.support.blocksync_program import PROGRAM
from tests.support.disks import MIB
from tests.support.pairs import LoopPair, changed_bytes, noise, with_changes

pytestmark = pytest.mark.needs("root", "loop-devices", "losetup")

BLOCK = 4096
LARGEST = 3 * MIB
CONTENT = noise(LARGEST)
# Of the native engine; the program takes at most this, two blocks at least, and less where that avoids its defect.
WINDOWS = (BLOCK, 16 * BLOCK, MIB)

# Blocks counted from the end: there the program's defect lives.
NEAR_THE_END = st.sets(st.integers(-6, -1))
ANYWHERE = st.sets(st.integers(0, LARGEST // BLOCK - 1), max_size=40)
RUNS = st.lists(st.tuples(st.integers(0, LARGEST // BLOCK - 1), st.integers(1, 300)), max_size=4).map(
    lambda runs: {block for start, length in runs for block in range(start, start + length)}
)
EVERYTHING = st.just(set(range(LARGEST // BLOCK)))
BLOCKS = st.one_of(
    NEAR_THE_END, ANYWHERE, RUNS, EVERYTHING, st.tuples(NEAR_THE_END, RUNS).map(lambda two: two[0] | two[1])
)


def sizes(sector: int) -> st.SearchStrategy[int]:
    """Sizes of devices: any number of sectors, few blocks (where edges meet), and around multiples of a window."""
    largest = LARGEST // sector
    around = st.tuples(st.integers(1, LARGEST // (16 * BLOCK) - 1), st.integers(-2, 2))
    return st.one_of(
        st.integers(1, 12 * BLOCK // sector).map(lambda count: count * sector),
        st.integers(1, largest).map(lambda count: count * sector),
        around.map(lambda drawn: drawn[0] * 16 * BLOCK + drawn[1] * sector),
    )


def offsets(size: int, blocks: set[int], inside: int) -> list[int]:
    """One byte in each of the blocks that the device has; ``inside`` says where in the block."""
    total = -(-size // BLOCK)
    present = {block % total if block < 0 else block for block in blocks if -total <= block < total}
    return sorted(min(block * BLOCK + inside, size - 1) for block in present)


def make_engine(name: str, window: int) -> Engine:
    if name == "native":
        return NativeEngine(window)
    if not PROGRAM:
        pytest.skip("needs the program blocksync-fast")
    program = BlocksyncFastEngine.find()
    return BlocksyncFastEngine(program.path, program.version, window)


def attempt(pair: LoopPair, work: Callable[[device.Device, device.Device], Outcome]) -> Outcome:
    with device.open_source(pair.source.path) as source, device.claim_target(pair.target.path) as target:
        outcome = work(source, target)
        if outcome.write_log:
            outcome.write_log.verify(target, Monitor())
        return outcome


def check(pair: LoopPair, engine: Engine, size: int, changed: list[int], block: int = BLOCK) -> None:
    """The prediction, the copy, and a second copy that finds nothing to do."""
    source, target = CONTENT[:size], with_changes(CONTENT[:size], changed)
    pair.fill(source, target)
    expected = changed_bytes(source, target, block)
    predicted = attempt(
        pair, lambda first, second: engine.compare(first, second, whole(size), Monitor(), CopyOptions())
    )
    assert pair.contents() == (source, target)
    copied = attempt(pair, lambda first, second: engine.copy(first, second, whole(size), Monitor(), CopyOptions()))
    assert pair.contents() == (source, source)
    for outcome in (predicted, copied):
        assert outcome.bytes_written == expected
        assert outcome.blocks_changed == -(-expected // block)
        assert (outcome.block, outcome.blocks_total) == (block, -(-size // block))
    again = attempt(
        pair, lambda first, second: engine.copy(first, second, whole(size), Monitor(), CopyOptions(verify="full"))
    )
    assert (again.blocks_changed, again.bytes_written) == (0, 0)


@pytest.fixture(scope="module", params=[512, 4096], ids=["sectors of 512", "sectors of 4096"])
def pair(request: pytest.FixtureRequest) -> Iterator[LoopPair]:
    with LoopPair(LARGEST, sector=request.param) as made:
        yield made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["native", "blocksync_fast"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), blocks=BLOCKS, inside=st.integers(0, BLOCK - 1), window=st.sampled_from(WINDOWS))
def test_after_success_the_pair_is_equal_and_the_numbers_are_exact(
    pair: LoopPair, name: str, data: st.DataObject, blocks: set[int], inside: int, window: int
) -> None:
    size = data.draw(sizes(pair.sector), label="size")
    check(pair, make_engine(name, window), size, offsets(size, blocks, inside))
