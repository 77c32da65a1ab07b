# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The block checksums of blocksync-fast, with its names, its numbers and its byte order.

Its numbers are libgcrypt's (gcrypt.h, enum gcry_md_algos) and its own for xxHash. Names are looked up without regard
to case, as the program does.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import dataclass
from typing import Any, Callable, Collection, Iterable

from ..errors import AlgorithmError

try:
    import xxhash as _xxhash
except ImportError:
    _xxhash = None  # type: ignore[assignment]  # what uses it finds no function in it

Checksum = Callable[[memoryview], bytes]

STRONG = 16  # bytes: a shorter checksum would overlook a changed block now and then
SAMPLE = 4096  # bytes
FALLBACKS = ("SHA256", "BLAKE2B_256")  # where there is no xxHash


@dataclass(frozen=True)
class Algorithm:
    """``checksum`` of a block has ``size`` bytes; ``number`` is what stands for it in a file's header."""

    name: str
    number: int
    size: int
    checksum: Checksum

    def of_blocks(self, data: memoryview, block: int) -> bytes:
        """The checksums of all blocks of ``data``, one after the other; the last block may be short."""
        checksum = self.checksum
        return b"".join([checksum(data[at : at + block]) for at in range(0, len(data), block)])


def find(name: str) -> Algorithm:
    """The algorithm of that name. Raises AlgorithmError if it does not exist or this Python lacks it."""
    row = _BY_NAME.get(name.upper())
    if row is None:
        raise AlgorithmError("There is no hash algorithm %r." % name, "Choose one of %s." % ", ".join(available()))
    return _make(row)


def by_number(number: int) -> Algorithm:
    """The algorithm that a header names. Raises AlgorithmError as find() does."""
    row = _BY_NUMBER.get(number)
    if row is None:
        raise AlgorithmError("The hash algorithm number %d is unknown." % number)
    return _make(row)


def available(least: int = 0) -> list[str]:
    """The names of what this Python has, with checksums of at least so many bytes; strongest first."""
    rows = [row for row in _ROWS if row.size >= least and row.build is not None and _built(row) is not None]
    return [row.name for row in sorted(rows, key=lambda row: -row.size)]


def choose(name: str, others: Collection[str] | None = None, former: str = "") -> Algorithm:
    """The algorithm for digests that are trusted: ``name``, or for "auto" the strongest that is fast here and there.

    ``others`` are the names that the program knows (None: it does not matter). "auto" keeps to ``former``, with which
    a digest was made before. Raises AlgorithmError for what is unknown, missing or weaker than STRONG.
    """
    if name.lower() != "auto":
        return _strong(find(name))
    usable = [known for known in available(STRONG) if others is None or known in others]
    for wanted in (former.upper(), "XXH128"):
        if wanted in usable:
            return find(wanted)
    return find(_fastest([known for known in FALLBACKS if known in usable] or list(FALLBACKS)))


def _strong(algorithm: Algorithm) -> Algorithm:
    if algorithm.size < STRONG:
        raise AlgorithmError(
            "%s has %d bits: a changed block would be taken for an old one now and then."
            % (algorithm.name, algorithm.size * 8),
            "Choose one of %s." % ", ".join(available(STRONG)),
        )
    return algorithm


def _fastest(names: Iterable[str]) -> str:
    """SHA-256 is the faster one if the processor has instructions for it, BLAKE2b elsewhere."""
    sample = memoryview(bytes(SAMPLE))
    times = {}
    for name in names:
        checksum = find(name).checksum
        checksum(sample)  # the first use loads libraries
        begun = time.perf_counter()
        for _turn in range(8):
            checksum(sample)
        times[name] = time.perf_counter() - begun
    return min(times, key=lambda name: times[name])


@dataclass(frozen=True)
class _Row:
    """``build`` makes the checksum, or raises if this Python lacks it; None if no Python has it."""

    name: str
    number: int
    size: int
    build: Callable[[], Checksum] | None = None


def _make(row: _Row) -> Algorithm:
    checksum = _built(row)
    if checksum is None:
        package = "the Python package xxhash" if row.name.startswith("XXH") else "another algorithm"
        raise AlgorithmError("This Python has no %s." % row.name, "Use %s." % package)
    return Algorithm(row.name, row.number, row.size, checksum)


def _built(row: _Row) -> Checksum | None:
    if row.build is None:
        return None
    try:
        checksum = row.build()
        return checksum if len(checksum(memoryview(b""))) == row.size else None
    except (ValueError, TypeError, AttributeError):  # a restricted OpenSSL; no xxhash, or an old one
        return None


def _standard(name: str) -> Callable[[], Checksum]:
    """Of hashlib: a constructor of its own where it has one, which is the quickest way, else OpenSSL by name."""

    def build() -> Checksum:
        new: Any = getattr(hashlib, name, None) or (lambda data: hashlib.new(name, data))
        return lambda data: bytes(new(data).digest())

    return build


def _blake2(name: str, size: int) -> Callable[[], Checksum]:
    new: Any = getattr(hashlib, name)
    return lambda: lambda data: bytes(new(data, digest_size=size).digest())


def _xx(name: str, start: int = 0) -> Callable[[], Checksum]:
    """The canonical, big-endian form, from byte ``start`` on."""

    def build() -> Checksum:
        digest: Any = getattr(_xxhash, name)
        return (lambda data: bytes(digest(data)[start:])) if start else digest

    return build


def _crc32(data: memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _crc32_rfc1510(data: memoryview) -> bytes:
    return (zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "big")


_ROWS = (
    _Row("MD5", 1, 16, _standard("md5")),
    _Row("SHA1", 2, 20, _standard("sha1")),
    _Row("RMD160", 3, 20, _standard("ripemd160")),
    _Row("TIGER", 6, 24),
    _Row("SHA256", 8, 32, _standard("sha256")),
    _Row("SHA384", 9, 48, _standard("sha384")),
    _Row("SHA512", 10, 64, _standard("sha512")),
    _Row("SHA224", 11, 28, _standard("sha224")),
    _Row("CRC32", 302, 4, lambda: _crc32),
    _Row("CRC32_RFC1510", 303, 4, lambda: _crc32_rfc1510),
    _Row("CRC24_RFC2440", 304, 3),
    _Row("WHIRLPOOL", 305, 64),
    _Row("TIGER1", 306, 24),
    _Row("TIGER2", 307, 24),
    _Row("GOSTR3411_94", 308, 32),
    _Row("STRIBOG256", 309, 32),
    _Row("STRIBOG512", 310, 64),
    _Row("SHA3_224", 312, 28, _standard("sha3_224")),
    _Row("SHA3_256", 313, 32, _standard("sha3_256")),
    _Row("SHA3_384", 314, 48, _standard("sha3_384")),
    _Row("SHA3_512", 315, 64, _standard("sha3_512")),
    _Row("BLAKE2B_512", 318, 64, _blake2("blake2b", 64)),
    _Row("BLAKE2B_384", 319, 48, _blake2("blake2b", 48)),
    _Row("BLAKE2B_256", 320, 32, _blake2("blake2b", 32)),
    _Row("BLAKE2B_160", 321, 20, _blake2("blake2b", 20)),
    _Row("BLAKE2S_256", 322, 32, _blake2("blake2s", 32)),
    _Row("BLAKE2S_224", 323, 28, _blake2("blake2s", 28)),
    _Row("BLAKE2S_160", 324, 20, _blake2("blake2s", 20)),
    _Row("BLAKE2S_128", 325, 16, _blake2("blake2s", 16)),
    _Row("SM3", 326, 32, _standard("sm3")),
    _Row("SHA512_256", 327, 32, _standard("sha512_256")),
    _Row("SHA512_224", 328, 28, _standard("sha512_224")),
    _Row("XXH32", 2010, 4, _xx("xxh32_digest")),
    _Row("XXH64", 2020, 8, _xx("xxh64_digest")),
    _Row("XXH3LOW", 2029, 4, _xx("xxh3_64_digest", 4)),
    _Row("XXH3", 2030, 8, _xx("xxh3_64_digest")),
    _Row("XXH128", 2040, 16, _xx("xxh3_128_digest")),
)
_BY_NAME = {row.name: row for row in _ROWS}
_BY_NUMBER = {row.number: row for row in _ROWS}
