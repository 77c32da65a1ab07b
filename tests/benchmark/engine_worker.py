# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of one engine in a process of its own, as a sync does it: copy, flush, verify. Prints its numbers as JSON."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack

from blksync.engines.base import CopyOptions
from blksync.engines.choice import choose
from blksync.engines.monitor import Monitor
from blksync.ranges import whole
from blksync.system import device


def main(name: str, source_path: str, target_path: str) -> None:
    """Copy, verify, and print seconds (of both) and seconds_verifying."""
    engine = choose(name)
    with ExitStack() as stack:
        source = stack.enter_context(device.open_source(source_path))
        target = stack.enter_context(device.claim_target(target_path))
        started = time.perf_counter()
        source.drop_cache()
        target.drop_cache()
        log = engine.copy(source, target, whole(source.size), Monitor(), CopyOptions()).write_log
        copied = time.perf_counter()
        if log:
            log.verify(target, Monitor())
        ended = time.perf_counter()
    print(json.dumps({"seconds": ended - started, "seconds_verifying": ended - copied}))


if __name__ == "__main__":
    main(*sys.argv[1:])
