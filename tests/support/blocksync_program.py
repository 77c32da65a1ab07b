# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""blocksync-fast in tests: the real program where it is installed, and fakes that misbehave on purpose."""

from __future__ import annotations

import os
import select
import shutil
from pathlib import Path

import pytest

from tests.tooling.paths import ROOT

# A body that does what it shall, in so far as it copies.
COPY = 'dd if="$src" of="$dst" conv=notrunc status=none\n'
# And says so of the three blocks that it is tried with.
TRIED = COPY + 'echo "Updated: 3/3 blocks, 12288/12288 bytes."\n'

PROGRAM = shutil.which(os.environ.get("BLOCKSYNC_FAST") or "blocksync-fast") or ""

needs_blocksync_fast = pytest.mark.skipif(not PROGRAM, reason="blocksync-fast is not installed")


class FakeProgram:
    """A shell script in the program's place. ``body`` runs with $src and $dst, the paths that it was given."""

    def __init__(self, directory: Path, body: str, version: str = "1.07") -> None:
        self.path = directory / "blocksync-fast"
        self.path.write_text(
            '#!/bin/sh\nif [ "$1" = -V ]; then echo "blocksync-fast version %s, Copyright"; exit; fi\n'
            "src=${1#--src=} dst=${2#--dst=}\n%s\n" % (version, body)
        )
        self.path.chmod(0o755)


STANDIN = ROOT / "extensions" / "molecule" / "blocksync_fast" / "files" / "standin-blocksync-fast"


def standin(version: str = "1.07", misses_blocks: bool = True) -> str:
    """The text of a program for the role blocksync_fast to install, which copies as the real one does."""
    return (
        STANDIN.read_text()
        .replace("@SHEBANG@", "#!/usr/bin/env python3")
        .replace("@VERSION@", version)
        .replace("@MISSES_CHANGED_BLOCKS@", str(misses_blocks))
    )


def wait_until_gone(pid: int, seconds: float = 30) -> bool:
    """Wait for the end of any process; False where it still runs after that time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def children_of(pid: int) -> list[int]:
    """The running children of a process, read from every process's parent in /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # After the name in parentheses, which may hold anything: state and parent.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == pid and state != "Z":
                found.append(int(entry.name))
    return found
