# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure syncs of a mounted source that is being written to, and what recording its writes costs the writer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from blksync.discovery.observe import observe
from blksync.errors import LiveDoubtError
from blksync.live.dirty_tracker import DirtyTracker
from blksync.system import libc
from blksync.system.tracefs import find_tracefs
from tests.support import own_mounts
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.mounted import freeze, thaw
from tests.support.sync_driver import Driven

from . import speed_limit
from .load import BLOCK, Load
from .speed_limit import SpeedLimit

LIMIT = 200 * 10**6  # bytes per second
RATE = 20 * 10**6  # likewise, of the writer
USED = 0.28  # of the file system
TRACEFS = "/sys/kernel/tracing"
WAYS = {
    "frozen throughout": {"quiesce": "freeze"},
    "live": {"quiesce": "live"},
    "frozen throughout, used blocks": {"quiesce": "freeze", "scope": "used"},
    "live, used blocks": {"quiesce": "live", "scope": "used"},
}


@dataclass(frozen=True)
class LiveSync:
    """Seconds in all, seconds frozen, bytes read from both sides, iterations; why it was not live, where it was not."""

    seconds: float
    frozen: float
    read: int
    iterations: int
    fallback: str


@dataclass(frozen=True)
class Slowdown:
    """Writes a second without and with a recorder, what the recorder's memory grew by in bytes, and what was lost."""

    plain: float
    recorded: float
    growth: int
    doubt: str


@dataclass
class LiveSection:
    """All rounds with file systems of ``size`` bytes. ``note`` says why there are none."""

    size: int
    rounds: list[dict[str, LiveSync]]
    slowdowns: list[Slowdown]
    note: str = ""


def measure_live(size: int, repeat: int, soak: float) -> LiveSection:
    """``repeat`` rounds of all ways; each look at the writer takes ``soak`` seconds."""
    section = LiveSection(size, [], [])
    section.note = _why_not(size)
    if section.note:
        return section
    own_mounts.take()
    with _mounted_pair(size) as (source, target, mountpoint):
        options = {"source": source.identifier, "target": target.identifier, "partitions": (1,), "engine": "native"}
        _sync("equal at first", {**options, "quiesce": "freeze"})
        with SpeedLimit([source.devno, target.devno], LIMIT):
            for number in range(repeat):
                with Load("steady", mountpoint / "load", RATE):
                    section.rounds.append(
                        {way: _sync(f"round {number + 1}, {way}", {**options, **how}) for way, how in WAYS.items()}
                    )
        section.slowdowns = [_slowdown(source, mountpoint, soak) for _number in range(repeat)]
    return section


def _sync(title: str, options: dict[str, object]) -> LiveSync:
    print(f"bench: a mounted source, {title} ... ", end="", file=sys.stderr, flush=True)
    with Driven(**options) as sync:
        result = sync.end()
    if result["step"] != "done":
        raise RuntimeError(result)
    (pair,) = result["partitions"]
    live = pair["live"] or {"iterations": 0, "fallback": None}
    fallback = live["fallback"]["message"] if live["fallback"] else ""
    print(f"{pair['seconds']:.2f} s, frozen {pair['frozen_seconds']:.3f} s", file=sys.stderr)
    return LiveSync(pair["seconds"], pair["frozen_seconds"], pair["bytes_read"], live["iterations"], fallback)


def _slowdown(source: PartitionedDisk, mountpoint: Path, seconds: float) -> Slowdown:
    """A writer alone, then one whose writes this process records."""
    print(f"bench: a busy writer, twice {seconds:.0f} s", file=sys.stderr)
    busy = mountpoint / "busy"
    with Load("busy", busy, seconds) as load:
        plain = load.writes() / seconds
    disk = next(disk for disk in observe().disks if disk.path == source.path)
    partition = disk.partitions[0]
    with DirtyTracker(disk, {partition: BLOCK}) as tracker:
        _still(mountpoint, lambda: tracker.restart(partition))
        before = _resident()
        with Load("busy", busy, seconds) as load:
            recorded = load.writes() / seconds
        growth = _resident() - before
        try:
            _still(mountpoint, lambda: tracker.take(partition))
            doubt = ""
        except LiveDoubtError as error:
            doubt = error.message
    return Slowdown(plain, recorded, growth, doubt)


def _still(mountpoint: Path, act: Callable[[], object]) -> None:
    os.sync()
    freeze(mountpoint)
    try:
        act()
    finally:
        thaw(mountpoint)


def _resident() -> int:
    """VmRSS of proc(5), in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def _mounted_pair(size: int) -> Iterator[tuple[PartitionedDisk, PartitionedDisk, Path]]:
    ours, theirs = identifiers()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = stack.enter_context(PartitionedDisk(ours, (size // SECTOR,)))
        target = stack.enter_context(PartitionedDisk(theirs, (size // SECTOR,)))
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", source.partition(1))
        run("mount", source.partition(1), str(directory))
        stack.callback(run, "umount", str(directory))
        for number in range(int(size * USED) // (32 * MIB)):
            (directory / f"data-{number}").write_bytes(os.urandom(32 * MIB))
        subprocess.run(["sync", "-f", str(directory)], check=True)
        yield source, target, directory


def _why_not(size: int) -> str:
    free = shutil.disk_usage("/dev/shm").free
    if free < 2 * size:
        return f"Not available: /dev/shm has {free // MIB} MiB free, two devices need {2 * size // MIB}."
    if speed_limit.why_not():
        return f"Not available: {speed_limit.why_not()}."
    try:
        find_tracefs()
    except LiveDoubtError:
        try:
            libc.mount("nodev", TRACEFS, "tracefs", 0)
        except OSError as error:
            return f"Not available: no tracefs ({error})."
    return ""
