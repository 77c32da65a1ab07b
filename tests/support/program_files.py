# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digest and delta files made by the real blocksync-fast, and the recording of those that the unit tests read.

python -m tests.support.program_files tests/unit/formats/golden    records them anew, where the program is installed
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.blocksync_program import PROGRAM

BLOCK = 512  # bytes
SIZE = 9 * BLOCK + 100
CHANGED = (0, 3, 4, 9)  # blocks; the last is short
TIMES = slice(48, 56)  # where a header has the time
SUMMARY = re.compile(r"(Updated|Copied|Created): (\d+)/(\d+) blocks, (\d+)/(\d+) bytes\.\n\Z")


def content(size: int = SIZE, seed: int = 7) -> bytes:
    """The same bytes every time."""
    return random.Random(seed).randbytes(size)


def changed(data: bytes, blocks: tuple[int, ...] | list[int] = CHANGED, block: int = BLOCK) -> bytes:
    """The data with a byte in each of these blocks changed."""
    result = bytearray(data)
    for number in blocks:
        result[number * block + min(block, len(data) - number * block) // 2] ^= 0xFF
    return bytes(result)


def run(*arguments: str) -> int:
    """Run the program to its clean end, and return how many blocks it counts."""
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = SUMMARY.search(done.stdout)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    assert found, (arguments, done.stdout, done.stderr)
    return int(found[2])


def make_digest(source: Path, digest: Path, algorithm: str, block: int) -> None:
    """Let the program make a new digest."""
    run(f"--src={source}", "--make-digest", f"--digest={digest}", f"--algo={algorithm}", f"--block-size={block}")


def make_delta(source: Path, digest: Path, delta: Path) -> int:
    """Let the program make a delta; it also brings the digest up to date."""
    return run(f"--src={source}", "--make-delta", f"--digest={digest}", f"--delta={delta}")


def apply_delta(target: Path, delta: Path) -> int:
    """Let the program apply a delta."""
    return run(f"--dst={target}", "--apply-delta", f"--delta={delta}")


def without_time(data: bytes) -> bytes:
    """A file's bytes but for the time of its making."""
    return data[: TIMES.start] + data[TIMES.stop :]


def algorithms() -> list[str]:
    """The names that the program knows."""
    listed = subprocess.run([PROGRAM, "--list-algos"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (\w+) - ", listed, re.MULTILINE)


def record(directory: Path) -> None:
    """One digest of each algorithm as a table, and as files some digests and deltas of one content."""
    table = {}
    with tempfile.TemporaryDirectory() as scratch:
        old, new = Path(scratch, "old"), Path(scratch, "new")
        old.write_bytes(content())
        new.write_bytes(changed(content()))
        for name in algorithms():
            digest = Path(scratch, name)
            make_digest(old, digest, name, BLOCK)
            data = digest.read_bytes()
            table[name] = {"number": int.from_bytes(data[56:64], "little"), "checksums": data[512:].hex()}
            if name in ("XXH128", "CRC32", "SHA256"):
                (directory / f"{name}.digest").write_bytes(data)
        (directory / "all.delta").unlink(missing_ok=True)
        (directory / "changes.delta").unlink(missing_ok=True)
        make_delta(old, Path(scratch, "fresh"), directory / "all.delta")
        make_delta(new, Path(scratch, "SHA256"), directory / "changes.delta")
    (directory / "checksums.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
