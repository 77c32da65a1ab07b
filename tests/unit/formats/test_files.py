# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digest and delta files: those of the real program are read and written alike; any other is an error, never a copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from blksync.errors import AlgorithmError, FileFormatError
from blksync.formats import algorithms
from blksync.formats import header as file_header
from blksync.formats.delta_file import DeltaReader, DeltaWriter
from blksync.formats.digest_file import DigestReader, DigestWriter
from blksync.formats.header import HEADER_SIZE, Header
from tests.support.program_files import BLOCK, CHANGED, SIZE, changed, content

GOLDEN = Path(__file__).parent / "golden"
DIGESTS = ["XXH128", "CRC32", "SHA256"]
DELTAS = {"all.delta": ((0, 1), content()), "changes.delta": (CHANGED, changed(content()))}
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def blocks_of(data: bytes, numbers: tuple[int, ...], block: int = BLOCK) -> list[tuple[int, bytes]]:
    return [(number, data[number * block : (number + 1) * block]) for number in numbers]


def read_digest(path: Path) -> tuple[Header, str, bytes]:
    with DigestReader(str(path)) as digest:
        return digest.header, digest.algorithm.name, b"".join(digest.chunks())


def write_digest(path: Path, header: Header, name: str, checksums: bytes) -> str:
    with DigestWriter(str(path), header, algorithms.find(name)) as writer:
        writer.append(checksums[:32])
        writer.append(checksums[32:])
        return writer.finish()


def read_delta(path: Path) -> tuple[Header, list[tuple[int, bytes]]]:
    with DeltaReader(str(path)) as delta:
        records = list(delta.records())
        assert len(records) == delta.records_total
        return delta.header, records


def write_delta(path: Path, header: Header, records: list[tuple[int, bytes]]) -> str:
    with DeltaWriter(str(path), header) as writer:
        for block, data in records:
            writer.append(block, data)
        return writer.finish()


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_of_the_program_is_read_and_written_alike(tmp_path: Path, name: str) -> None:
    recorded = GOLDEN / f"{name}.digest"
    header, found, checksums = read_digest(recorded)
    assert (header.data_size, header.block_size, header.blocks, header.version) == (SIZE, BLOCK, 10, "1.07")
    assert (found, checksums) == (name, algorithms.find(name).of_blocks(memoryview(content()), BLOCK))
    written = write_digest(tmp_path / "digest", header, name, checksums)
    assert (tmp_path / "digest").read_bytes() == recorded.read_bytes()
    with DigestReader(str(recorded)) as digest:
        assert digest.content() == written
        assert digest.checksums(9, 1) == checksums[-digest.algorithm.size :]


@pytest.mark.parametrize("name", DELTAS)
def test_a_delta_of_the_program_is_read_and_written_alike(tmp_path: Path, name: str) -> None:
    header, records = read_delta(GOLDEN / name)
    blocks, data = DELTAS[name]
    assert records == blocks_of(data, blocks, header.block_size)
    fingerprint = write_delta(tmp_path / "delta", header, records)
    assert (tmp_path / "delta").read_bytes() == (GOLDEN / name).read_bytes()
    with DeltaReader(str(GOLDEN / name)) as delta:
        assert delta.fingerprint() == fingerprint


def test_a_content_has_one_name_whenever_its_digest_was_made(tmp_path: Path) -> None:
    header, name, checksums = read_digest(GOLDEN / "SHA256.digest")
    same = write_digest(tmp_path / "1", header, name, checksums)
    assert write_digest(tmp_path / "2", replace(header, timestamp=1), name, checksums) == same
    assert write_digest(tmp_path / "3", header, name, bytes([checksums[0] ^ 1]) + checksums[1:]) != same
    assert write_digest(tmp_path / "4", replace(header, data_size=SIZE - 1), name, checksums) != same
    other = algorithms.find("SHA3_256")
    assert write_digest(tmp_path / "5", replace(header, algorithm=other.number), other.name, checksums) != same


def patched(name: str, offset: int, data: bytes) -> bytes:
    whole = (GOLDEN / name).read_bytes()
    return whole[:offset] + data + whole[offset + len(data) :]


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.mark.parametrize("name", ["XXH128.digest", "changes.delta"])
@pytest.mark.parametrize(
    ("offset", "data", "words"),
    [
        (0, b"!BSF#XXX", "does not begin with"),
        (12, b"x", "does not begin with"),
        (16, b"\xff\xfe", "no version"),
        (16, bytes(8), "no version"),
        (24, number(0), "data size is 0"),
        (24, number(1 << 63), "data size"),
        (24, number(SIZE + BLOCK), "blocks where"),
        (24, number((1 << 63) - 1), "blocks where"),
        (32, number(0), "block size is 0"),
        (32, number(1 << 40), "block size"),
        (32, number(BLOCK * 2), "blocks where"),
        (40, number(11), "claims 11 blocks"),
        (40, number((1 << 64) - 1), "blocks where"),
        (64, b"\1", "end in zeros"),
        (511, b"\1", "end in zeros"),
    ],
)
def test_every_field_of_a_header_is_checked(tmp_path: Path, name: str, offset: int, data: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(patched(name, offset, data))
    with pytest.raises(FileFormatError, match=words) as caught:
        (DigestReader if name.endswith("digest") else DeltaReader)(str(path))
    assert str(path) in str(caught.value)


def test_an_algorithm_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(patched("XXH128.digest", 56, number(9999)))
    with pytest.raises(AlgorithmError, match="9999"):
        DigestReader(str(path))
    path.write_bytes(patched("changes.delta", 56, number(2040)))
    with pytest.raises(FileFormatError, match="hash algorithm"):
        DeltaReader(str(path))


@pytest.mark.parametrize("name", ["XXH128.digest", "SHA256.digest"])
def test_a_digest_of_any_other_length_is_an_error(tmp_path: Path, name: str) -> None:
    whole, path = (GOLDEN / name).read_bytes(), tmp_path / "digest"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            DigestReader(str(path))
    path.write_bytes(whole + b"x")
    with pytest.raises(FileFormatError, match="asks for"):
        DigestReader(str(path))


def test_a_delta_that_was_cut_off_inside_a_record_is_an_error(tmp_path: Path) -> None:
    whole, path = (GOLDEN / "changes.delta").read_bytes(), tmp_path / "delta"
    ends = {HEADER_SIZE + count * (8 + BLOCK) for count in range(4)}
    ends.add(HEADER_SIZE + 3 * (8 + BLOCK) + 8 + 100)
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        if length in ends:
            assert len(read_delta(path)[1]) <= 4  # to be noticed by its length in the manifest
        else:
            with pytest.raises(FileFormatError):
                read_delta(path)


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (BLOCK * 10, "for no block"),
        (1, "for no block"),
        (1 << 63, "for no block"),
        (BLOCK * 3, "out of order"),
        (0, "o"),
    ],
)
def test_a_record_for_a_wrong_place_is_an_error(tmp_path: Path, offset: int, words: str) -> None:
    path = tmp_path / "delta"
    path.write_bytes(patched("changes.delta", HEADER_SIZE + 2 * (8 + BLOCK), number(offset)))  # the third record
    with pytest.raises(FileFormatError, match=words):
        read_delta(path)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(GOLDEN / "XXH128.digest")
    for path in (tmp_path / "fifo", tmp_path / "link", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(FileFormatError):
            DigestReader(str(path))
        with pytest.raises(FileFormatError):
            DeltaReader(str(path))


def test_writers_take_what_comes_next_only_and_leave_nothing_unfinished(tmp_path: Path) -> None:
    header = Header(SIZE, BLOCK, 0, algorithms.find("MD5").number)
    with DigestWriter(str(tmp_path / "digest"), header, algorithms.find("MD5")) as digest:
        with pytest.raises(ValueError, match="more checksums"):
            digest.append(bytes(161))
        digest.append(bytes(159))
        with pytest.raises(ValueError, match="1 bytes"):
            digest.finish()
    with DeltaWriter(str(tmp_path / "delta"), replace(header, algorithm=0)) as delta:
        delta.append(4, bytes(BLOCK))
        for block, length in ((4, BLOCK), (3, BLOCK), (5, BLOCK - 1), (9, BLOCK), (10, BLOCK)):
            with pytest.raises(ValueError, match="does not come next"):
                delta.append(block, bytes(length))
        delta.append(9, bytes(100))
    assert list(tmp_path.iterdir()) == []


BYTES = st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=9)), max_size=4)


def damaged(whole: bytes, patches: list[tuple[int, bytes]], length: int) -> bytes:
    for offset, data in patches:
        whole = whole[:offset] + data + whole[offset + len(data) :]
    return whole[:length]


@FUZZ
@given(patches=BYTES, length=st.integers(0, 3000), name=st.sampled_from(DIGESTS))
@example(patches=[(24, number(1)), (32, number(1)), (40, number(1))], length=528, name="XXH128")
@example(patches=[], length=3000, name="XXH128")
def test_whatever_a_digest_holds_it_is_whole_or_an_error(
    tmp_path: Path, patches: list[tuple[int, bytes]], length: int, name: str
) -> None:
    path, again = tmp_path / "digest", tmp_path / "again"
    path.write_bytes(damaged((GOLDEN / f"{name}.digest").read_bytes(), patches, length))
    try:
        header, found, checksums = read_digest(path)
    except (FileFormatError, AlgorithmError):
        return
    write_digest(again, header, found, checksums)
    assert again.read_bytes() == path.read_bytes()  # every byte was understood
    assert len(checksums) == header.blocks * algorithms.find(found).size


@FUZZ
@given(patches=BYTES, length=st.integers(0, 3000))
@example(patches=[], length=3000)
@example(patches=[(24, number(BLOCK)), (40, number(1))], length=HEADER_SIZE + 8 + BLOCK)
def test_whatever_a_delta_holds_it_is_whole_or_an_error(
    tmp_path: Path, patches: list[tuple[int, bytes]], length: int
) -> None:
    path, again = tmp_path / "delta", tmp_path / "again"
    path.write_bytes(damaged((GOLDEN / "changes.delta").read_bytes(), patches, length))
    try:
        header, records = read_delta(path)
    except FileFormatError:
        return
    for block, data in records:
        assert block * header.block_size + len(data) <= header.data_size
    write_delta(again, header, records)
    assert again.read_bytes() == path.read_bytes()


@FUZZ
@given(data=st.binary(max_size=2000), magic=st.sampled_from([b"", file_header.DIGEST_MAGIC, file_header.DELTA_MAGIC]))
def test_any_bytes_at_all(tmp_path: Path, data: bytes, magic: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(magic.ljust(16, b"\0") + data if magic else data)
    for read in (read_digest, read_delta):
        try:
            read(path)
        except (FileFormatError, AlgorithmError):
            continue


@FUZZ
@given(
    size=st.integers(1, 5000),
    block=st.integers(1, 700),
    picked=st.sets(st.integers(0, 5000)),
    seed=st.integers(0, 9),
)
def test_deltas_of_any_geometry_come_back(tmp_path: Path, size: int, block: int, picked: set[int], seed: int) -> None:
    header = Header(size, block, 0)
    numbers = tuple(sorted(number for number in picked if number < header.blocks))
    records = blocks_of(content(size, seed), numbers, block)
    write_delta(tmp_path / "delta", header, records)
    assert read_delta(tmp_path / "delta") == (header, records)
