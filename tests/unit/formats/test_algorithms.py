# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums are those that blocksync-fast stores, byte for byte; what is unknown, missing or weak is a clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blksync.errors import AlgorithmError
from blksync.formats import algorithms
from tests.support.program_files import BLOCK, content

RECORDED = json.loads(Path(__file__).parent.joinpath("golden", "checksums.json").read_text())
NOWHERE = {"TIGER", "TIGER1", "TIGER2", "CRC24_RFC2440", "WHIRLPOOL", "GOSTR3411_94", "STRIBOG256", "STRIBOG512"}
SOMEWHERE = {"RMD160", "SM3", "SHA512_224", "SHA512_256"}  # where OpenSSL has them
EVERYWHERE = set(RECORDED) - NOWHERE - SOMEWHERE  # with the package xxhash, which the tests require


def test_what_every_python_has_is_available() -> None:
    assert set(algorithms.available()) >= EVERYWHERE


@pytest.mark.parametrize("name", sorted(set(RECORDED) - NOWHERE))
def test_checksums_are_those_of_the_program(name: str) -> None:
    if name not in algorithms.available():
        pytest.skip("this Python's OpenSSL has no %s" % name)
    algorithm = algorithms.find(name.lower())
    assert (algorithm.name, algorithm.number) == (name, RECORDED[name]["number"])
    assert algorithm.of_blocks(memoryview(content()), BLOCK).hex() == RECORDED[name]["checksums"]
    assert algorithms.by_number(algorithm.number).name == name
    assert len(RECORDED[name]["checksums"]) == 2 * 10 * algorithm.size


@pytest.mark.parametrize("name", sorted(NOWHERE))
def test_what_no_python_has_is_named_in_the_error(name: str) -> None:
    with pytest.raises(AlgorithmError, match=f"no {name}"):
        algorithms.by_number(RECORDED[name]["number"])
    with pytest.raises(AlgorithmError, match=f"no {name}"):
        algorithms.find(name)


def test_an_unknown_number_and_name() -> None:
    with pytest.raises(AlgorithmError, match="number 4711 is unknown"):
        algorithms.by_number(4711)
    with pytest.raises(AlgorithmError, match="XXH128"):
        algorithms.find("MD4")


@pytest.mark.parametrize("name", ["CRC32", "XXH32", "XXH64", "XXH3LOW", "XXH3"])
def test_weak_checksums_are_not_trusted(name: str) -> None:
    with pytest.raises(AlgorithmError, match="bits"):
        algorithms.choose(name)


def test_auto_is_xxh128_where_both_have_it() -> None:
    assert algorithms.choose("auto").name == "XXH128"
    assert algorithms.choose("auto", RECORDED).name == "XXH128"


def test_auto_without_xxhash_on_either_side_is_a_fast_one_of_256_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert algorithms.choose("auto", {"SHA1", "SHA256", "BLAKE2B_256", "CRC32"}).name in algorithms.FALLBACKS
    monkeypatch.setattr(algorithms, "_xxhash", None)
    assert algorithms.choose("auto").name in algorithms.FALLBACKS
    assert "XXH128" not in algorithms.available()
    with pytest.raises(AlgorithmError, match="package xxhash"):
        algorithms.find("XXH128")


def test_auto_keeps_to_what_a_digest_was_made_with_unless_it_is_weak() -> None:
    assert algorithms.choose("auto", None, former="SHA3_256").name == "SHA3_256"
    assert algorithms.choose("auto", None, former="CRC32").name == "XXH128"
    assert algorithms.choose("auto", {"XXH128"}, former="SHA3_256").name == "XXH128"
