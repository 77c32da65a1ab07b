# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of one engine in a process of its own, as a sync does it: copy, flush, verify. Prints its numbers as JSON.

"native+digest" is the native engine with a digest of the target, which is made before the time begins.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack

from blksync import algorithms, device
from blksync.device import Device
from blksync.digest import DigestReader, DigestWriter
from blksync.engines import choose
from blksync.engines.base import AS_USUAL, BLOCK, Method, Monitor, whole
from blksync.engines.checksums import Checksums
from blksync.engines.native import NativeEngine
from blksync.file_header import Header

WITH_DIGEST = "native+digest"


def with_digest(stack: ExitStack, target: Device) -> Method:
    """How to copy with a digest of the target, and a fresh one being written."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    algorithm = algorithms.choose("auto")
    header = Header(target.size, BLOCK, 0, algorithm.number)
    path = os.path.join(folder, "known")
    with DigestWriter(path, header, algorithm) as known:
        NativeEngine().compare(
            target, target, whole(target.size), Monitor(), Method(checksums=Checksums(algorithm, BLOCK, fresh=known))
        )
        known.finish()
    fresh = stack.enter_context(DigestWriter(os.path.join(folder, "fresh"), header, algorithm))
    return Method(checksums=Checksums(algorithm, BLOCK, stack.enter_context(DigestReader(path)), fresh))


def main(name: str, source_path: str, target_path: str) -> None:
    """Copy, verify, and print seconds (of both) and seconds_verifying."""
    engine = choose(name.partition("+")[0])
    with ExitStack() as stack:
        source = stack.enter_context(device.open_source(source_path))
        target = stack.enter_context(device.claim_target(target_path))
        method = with_digest(stack, target) if name == WITH_DIGEST else AS_USUAL
        started = time.perf_counter()
        source.drop_cache()
        target.drop_cache()
        evidence = engine.copy(source, target, whole(source.size), Monitor(), method=method).evidence
        copied = time.perf_counter()
        if evidence:
            evidence.verify(target, Monitor())
        ended = time.perf_counter()
    print(json.dumps({"seconds": ended - started, "seconds_verifying": ended - copied}))


if __name__ == "__main__":
    main(*sys.argv[1:])
