# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try the program named as the argument on small files; print as JSON how it behaves.

misses_changed_blocks: it does not write the last segment of changed blocks if that ends at the second-to-last block.
blocksync-fast 1.0.7 has this defect, ends with exit code 0, and repeating does not help. Exit status 1, with the
reason, if the program cannot be used at all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

BLOCK = 4096
BLOCKS = 8


def copies(program, directory, changed):
    """Whether the program makes the target equal to a source that differs in one block."""
    source, target = os.path.join(directory, "source"), os.path.join(directory, "target")
    blocks = [bytes([number]) * BLOCK for number in range(BLOCKS)]
    write(target, blocks)
    blocks[changed] = b"\xff" * BLOCK
    write(source, blocks)
    run = subprocess.run(
        [program, "-s", source, "-d", target, "--block-size=%d" % BLOCK],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    if run.returncode:
        sys.exit("%s ended with %d: %s" % (program, run.returncode, run.stdout.decode(errors="replace").strip()))
    with open(target, "rb") as file:
        return file.read() == b"".join(blocks)


def write(path, blocks):
    """Write a file from its blocks."""
    with open(path, "wb") as file:
        file.write(b"".join(blocks))


def main(program):
    """Try an ordinary change, then the one that the defect concerns."""
    with tempfile.TemporaryDirectory(prefix="blocksync-fast-") as directory:
        if not copies(program, directory, changed=2):
            sys.exit("%s did not copy a changed block" % program)
        lost = not copies(program, directory, changed=BLOCKS - 2)
    print(json.dumps({"misses_changed_blocks": lost}))


if __name__ == "__main__":
    main(*sys.argv[1:])
