# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests and deltas between the real blocksync-fast and the core, both ways: every algorithm that both have."""

from __future__ import annotations

from pathlib import Path

import pytest

from blksync.formats import algorithms
from blksync.formats.algorithms import Algorithm
from blksync.formats.delta_file import DeltaReader, DeltaWriter
from blksync.formats.digest_file import DigestReader, DigestWriter
from blksync.formats.header import Header
from tests.support import program_files as program
from tests.support.blocksync_program import PROGRAM, needs_blocksync_fast
from tests.support.program_files import changed, content, without_time

pytestmark = needs_blocksync_fast

SHARED = sorted(set(program.algorithms()) & set(algorithms.available())) if PROGRAM else []
# (size, block size): of one byte, less and more than a block, whole blocks and a short one at the end.
GEOMETRIES = [
    (4097, 4096),
    (20500, 4096),
    (100_001, 1000),
    *(
        pytest.param(one, marks=pytest.mark.full)
        for one in [(1, 4096), (511, 512), (4096, 4096), (3 * 65536 + 1, 65536)]
    ),
]
# With blocks of up to 8 bytes the program applies no delta rightly, its own included.
DEEP = [(size, block) for size in (1, 7, 1023, 4095, 65536, 300_007) for block in (9, 16, 500, 4096, 65536)]


def our_digest(data: bytes, path: Path, algorithm: Algorithm, block: int) -> None:
    with DigestWriter(str(path), Header(len(data), block, 0, algorithm.number), algorithm) as writer:
        writer.append(algorithm.of_blocks(memoryview(data), block))
        writer.finish()


def our_delta(data: bytes, path: Path, blocks: list[int], block: int) -> None:
    with DeltaWriter(str(path), Header(len(data), block, 0)) as writer:
        for number in blocks:
            writer.append(number, data[number * block : (number + 1) * block])
        writer.finish()


def our_apply(target: bytes, delta: Path) -> bytes:
    result = bytearray(target)
    with DeltaReader(str(delta)) as reader:
        assert reader.header.data_size == len(target)
        for number, data in reader.records():
            at = number * reader.header.block_size
            result[at : at + len(data)] = data
    return bytes(result)


def changed_blocks(total: int) -> list[int]:
    """Some blocks, the last one among them: the program loses a run that ends at the second-to-last block."""
    return sorted({number for number in range(total) if number % 5 in (1, 3, 4)} | {total - 1})


def check_both_ways(directory: Path, name: str, size: int, block: int) -> None:
    old = content(size)
    blocks = changed_blocks(-(-size // block))
    new = changed(old, blocks, block)
    algorithm = algorithms.find(name)
    files = {
        label: directory / label for label in ("old", "new", "theirs", "ours", "their-delta", "our-delta", "target")
    }
    files["old"].write_bytes(old)
    files["new"].write_bytes(new)

    # Digests: the same bytes, and each reads the other's.
    program.make_digest(files["old"], files["theirs"], name, block)
    our_digest(old, files["ours"], algorithm, block)
    assert without_time(files["theirs"].read_bytes()) == without_time(files["ours"].read_bytes())
    with DigestReader(str(files["theirs"])) as theirs, DigestReader(str(files["ours"])) as ours:
        assert theirs.content() == ours.content()

    # A delta that the program makes with our digest, applied by us; and the digest that it then leaves.
    assert program.make_delta(files["new"], files["ours"], files["their-delta"]) == len(blocks)
    assert our_apply(old, files["their-delta"]) == new
    with DigestReader(str(files["ours"])) as digest:
        assert b"".join(digest.chunks()) == algorithm.of_blocks(memoryview(new), block)

    # Our delta: the same bytes, applied by the program.
    our_delta(new, files["our-delta"], blocks, block)
    assert without_time(files["our-delta"].read_bytes()) == without_time(files["their-delta"].read_bytes())
    files["target"].write_bytes(old)
    assert program.apply_delta(files["target"], files["our-delta"]) == len(blocks)
    assert files["target"].read_bytes() == new


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("name", SHARED)
def test_both_ways(tmp_path: Path, name: str, geometry: tuple[int, int]) -> None:
    check_both_ways(tmp_path, name, *geometry)


@pytest.mark.full
@pytest.mark.parametrize("geometry", DEEP, ids=str)
@pytest.mark.parametrize("name", ["CRC32", "XXH3LOW", "XXH128", "SHA256", "SHA512"])
def test_both_ways_with_more_geometries(tmp_path: Path, name: str, geometry: tuple[int, int]) -> None:
    check_both_ways(tmp_path, name, *geometry)


def test_the_program_knows_most_of_what_python_has() -> None:
    assert len(SHARED) >= 25


def test_the_program_forgets_the_first_checksum_of_its_last_run(tmp_path: Path) -> None:
    """Why a digest that the program brought up to date is not trusted: a later run would send that block again."""
    size, block, algorithm = 20500, 4096, algorithms.find("SHA256")
    old, new = content(size), changed(content(size), [3, 4], block)
    (tmp_path / "new").write_bytes(new)
    our_digest(old, tmp_path / "digest", algorithm, block)
    assert program.make_delta(tmp_path / "new", tmp_path / "digest", tmp_path / "delta") == 2
    assert our_apply(old, tmp_path / "delta") == new  # the delta is right
    with DigestReader(str(tmp_path / "digest")) as digest:
        stale = [
            number
            for number in range(6)
            if digest.checksums(number, 1) != algorithm.checksum(memoryview(new[number * block : (number + 1) * block]))
        ]
    assert stale == [3]
