# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing with a digest finds exactly the blocks that comparing with the target would find."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blksync.digests.compare import DigestComparison
from blksync.engines.base import CopyOptions
from blksync.engines.monitor import Monitor
from blksync.engines.native.compare import changed_extents
from blksync.engines.native.engine import NativeEngine
from blksync.errors import EngineError
from blksync.formats import algorithms
from blksync.formats.algorithms import Algorithm
from blksync.formats.digest_file import DigestReader, DigestWriter
from blksync.formats.header import Header
from blksync.ranges import Extent
from blksync.system.device import open_source

BLOCK = 64
WINDOW = 16 * BLOCK
ALGORITHM = algorithms.find("SHA256")


def write(path: Path, data: bytes, algorithm: Algorithm = ALGORITHM) -> None:
    with DigestWriter(str(path), Header(len(data), BLOCK, 0, algorithm.number), algorithm) as writer:
        writer.append(algorithm.of_blocks(memoryview(data), BLOCK))
        writer.finish()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 3 * WINDOW), changes=st.sets(st.integers(0, 3 * WINDOW), max_size=20))
def test_the_same_extents_as_by_comparing(tmp_path: Path, size: int, changes: set[int]) -> None:
    old = bytearray(size)
    new = bytearray(old)
    for at in changes:
        if at < size:
            new[at] ^= 1
    write(tmp_path / "known", bytes(old))
    header = Header(size, BLOCK, 0, ALGORITHM.number)
    with (
        DigestReader(str(tmp_path / "known")) as known,
        DigestWriter(str(tmp_path / "fresh"), header, ALGORITHM) as fresh,
    ):
        checksums = DigestComparison(ALGORITHM, BLOCK, known, fresh)
        for at in range(0, size, WINDOW):
            data, other = memoryview(new)[at : at + WINDOW], memoryview(old)[at : at + WINDOW]
            made = checksums.of(data)
            window = [Extent(at, len(data))]
            checksums.take_down(window, made)
            assert checksums.compare(window, made) == (changed_extents(data, other, BLOCK), [])
        checksums.end()
        fresh.finish()
    write(tmp_path / "expected", bytes(new))
    assert (tmp_path / "fresh").read_bytes() == (tmp_path / "expected").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), blocks=st.integers(1, 40), tail=st.integers(1, BLOCK))
def test_blocks_that_are_left_out_stay_as_they_were_known(
    tmp_path: Path, data: st.DataObject, blocks: int, tail: int
) -> None:
    """Several runs, each over some blocks: a block is changed, equal, or one that no run has looked at."""
    size = (blocks - 1) * BLOCK + tail
    header = Header(size, BLOCK, 0, ALGORITHM.number)
    held: dict[int, int] = {}  # what the target is known to hold of each block: a byte over and over
    (tmp_path / "known").unlink(missing_ok=True)
    for _run in range(3):
        now = data.draw(st.lists(st.integers(1, 3), min_size=blocks, max_size=blocks))
        looked_at = sorted(data.draw(st.sets(st.integers(0, blocks - 1))))
        with contextlib.ExitStack() as files:
            known = files.enter_context(DigestReader(str(tmp_path / "known"))) if held else None
            fresh = files.enter_context(DigestWriter(str(tmp_path / "fresh"), header, ALGORITHM))
            checksums = DigestComparison(ALGORITHM, BLOCK, known, fresh)
            extents = [Extent(number * BLOCK, min(BLOCK, size - number * BLOCK)) for number in looked_at]
            made = b"".join(
                checksums.of(memoryview(bytes([now[number]]) * count))
                for number, (_at, count) in zip(looked_at, extents, strict=True)
            )
            if known:
                verdict = checksums.compare(extents, made)
                assert blocks_of(verdict.unknown, looked_at) == [each for each in looked_at if each not in held]
                assert blocks_of(verdict.changed, looked_at) == [
                    each for each in looked_at if each in held and held[each] != now[each]
                ]
            checksums.take_down(extents, made)
            checksums.end()
            fresh.finish()
        (tmp_path / "fresh").rename(tmp_path / "known")
        held.update((number, now[number]) for number in looked_at)


def blocks_of(runs: list[Extent], looked_at: list[int]) -> list[int]:
    """The numbers of the blocks in runs that count through those that were looked at."""
    return [looked_at[at] for start, length in runs for at in range(start // BLOCK, -(-(start + length) // BLOCK))]


def test_a_digest_of_other_blocks_is_refused() -> None:
    method = CopyOptions(checksums=DigestComparison(ALGORITHM, 4096))
    method.check(4096)
    with pytest.raises(EngineError, match="blocks of 4096"):
        method.check(8192)


def test_a_delta_gets_what_the_digest_says_nothing_of(tmp_path: Path) -> None:
    """There is no target to look at, so nobody knows that those blocks are the same."""
    data = bytes(range(256)) * 64
    (tmp_path / "source").write_bytes(data)
    listed = bytearray(ALGORITHM.of_blocks(memoryview(data), 4096))
    listed[2 * ALGORITHM.size : 3 * ALGORITHM.size] = bytes(ALGORITHM.size)
    with DigestWriter(str(tmp_path / "known"), Header(len(data), 4096, 0, ALGORITHM.number), ALGORITHM) as writer:
        writer.append(bytes(listed))
        writer.finish()
    with open_source(str(tmp_path / "source")) as source, DigestReader(str(tmp_path / "known")) as known:
        method = CopyOptions(checksums=DigestComparison(ALGORITHM, 4096, known))
        outcome = NativeEngine().extract(source, Monitor(), method, None)
    assert (outcome.blocks_changed, outcome.bytes_written) == (1, 4096)
