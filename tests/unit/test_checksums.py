# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing with a digest finds exactly the blocks that comparing with the target would find."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blksync import algorithms
from blksync.algorithms import Algorithm
from blksync.digest import DigestReader, DigestWriter
from blksync.engines.base import Method, Range, whole
from blksync.engines.checksums import Checksums
from blksync.engines.runs import changed_runs
from blksync.errors import EngineError
from blksync.file_header import Header

BLOCK = 64
WINDOW = 16 * BLOCK
ALGORITHM = algorithms.find("SHA256")


def write(path: Path, data: bytes, algorithm: Algorithm = ALGORITHM) -> None:
    with DigestWriter(str(path), Header(len(data), BLOCK, 0, algorithm.number), algorithm) as writer:
        writer.append(algorithm.of_blocks(memoryview(data), BLOCK))
        writer.finish()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 3 * WINDOW), changes=st.sets(st.integers(0, 3 * WINDOW), max_size=20))
def test_the_same_runs_as_by_comparing(tmp_path: Path, size: int, changes: set[int]) -> None:
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
        checksums = Checksums(ALGORITHM, BLOCK, known, fresh)
        for at in range(0, size, WINDOW):
            data, other = memoryview(new)[at : at + WINDOW], memoryview(old)[at : at + WINDOW]
            made = checksums.of(data)
            checksums.take_down(made)
            assert checksums.changed(at, len(data), made) == changed_runs(data, other, BLOCK)
        fresh.finish()
    write(tmp_path / "expected", bytes(new))
    assert (tmp_path / "fresh").read_bytes() == (tmp_path / "expected").read_bytes()


def test_checksums_are_for_the_whole_pair_in_the_same_blocks() -> None:
    method = Method(checksums=Checksums(ALGORITHM, 4096))
    method.check(whole(10_000), 10_000, 4096)
    for ranges, block in (((Range(0, 4096),), 4096), (whole(10_000), 8192)):
        with pytest.raises(EngineError, match="whole pair in blocks of 4096"):
            method.check(ranges, 10_000, block)
