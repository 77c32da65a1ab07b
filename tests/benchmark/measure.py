# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one contender once and measure it from the outside: wall time, peak memory, bytes that reached the target."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.blocksync_program import children_of
from tests.support.disks import run
from tests.support.pairs import LoopPair
from tests.tooling.paths import ROOT

from .contenders import Contender

POLL = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True)
class Measurement:
    """Seconds of wall time (an engine's own, without the start of Python), bytes of memory, bytes written.

    ``equal``: whether the target then held what the source holds; None where that was not the purpose.
    """

    seconds: float
    seconds_verifying: float
    memory: int
    written: int
    equal: bool | None


def measure(contender: Contender, pair: LoopPair, copies: bool = True) -> Measurement:
    """One run. RuntimeError where the contender fails."""
    run("blockdev", "--flushbufs", pair.source.path, pair.target.path)
    before = pair.target.bytes_written()
    started = time.perf_counter()
    with subprocess.Popen(
        contender.argv(pair.source.path, pair.target.path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins/module_utils'}"},
        text=True,
    ) as process:
        memory = _watch_memory(process.pid)
        seconds = time.perf_counter() - started
        output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{contender.name} ended with {process.returncode}: {errors.strip()}")
    run("blockdev", "--flushbufs", pair.target.path)  # what a program left in the page cache is written, too
    written = pair.target.bytes_written() - before
    verifying = 0.0
    if contender.engine:
        answer = json.loads(output)
        seconds, verifying = answer["seconds"], answer["seconds_verifying"]
    return Measurement(seconds, verifying, memory, written, _same(pair) if copies else None)


def _watch_memory(pid: int) -> int:
    """Wait for the end of a child; the peak of its resident memory and of its own children's, in bytes."""
    peaks: dict[int, int] = {}
    ended = os.pidfd_open(pid)
    try:
        while not select.select([ended], [], [], POLL)[0]:
            for process in (pid, *children_of(pid)):
                peaks[process] = max(peaks.get(process, 0), _peak(process))
    finally:
        os.close(ended)
    return sum(peaks.values())


def _peak(pid: int) -> int:
    """VmHWM of proc(5). ru_maxrss would do, if it did not survive exec: it is at least that of the benchmark."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _same(pair: LoopPair) -> bool:
    command = ["cmp", "--silent", str(pair.source.file), str(pair.target.file)]
    return subprocess.run(command, check=False).returncode == 0
