# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sync with a limit reads and writes no faster, and at full speed while programs wait for the end of a live copy.

How long a sync takes at least does not depend on the load of the machine.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.engines.base import Outcome
from blksync.engines.native.engine import NativeEngine
from blksync.engines.rate_limit import RateLimit
from blksync.engines.write_log import WriteLog
from blksync.errors import CancelledError
from blksync.options import SyncRequest
from blksync.sync import disk_sync
from blksync.sync.monitor import Progress
from blksync.sync.plan import Pair
from blksync.sync.result import SyncReport
from blksync.system.device import Device
from tests.support.blocks import content, fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers
from tests.support.mounted import MountedPair, is_frozen

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SOURCE, TARGET = identifiers()
SIZE = 8 * MIB
LIMIT = 8 * MIB  # bytes a second


@pytest.fixture
def disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    sizes = (SIZE // SECTOR,)
    with PartitionedDisk(SOURCE, sizes) as source, PartitionedDisk(TARGET, sizes, gap=4096) as target:
        fill(source.partition(1))
        yield source, target


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """The bytes that were read from and written to each device, in pieces larger than what is read of superblocks."""
    counts: Counter[tuple[str, str]] = Counter()
    for name in ("read", "write"):
        method = getattr(Device, name)

        def counted(self: Device, buffer: memoryview, offset: int, name: str = name, method: Any = method) -> None:
            if len(buffer) == MIB:
                counts[self.path, name] += len(buffer)
            method(self, buffer, offset)

        monkeypatch.setattr(Device, name, counted)
    return counts


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The bytes that had to wait for the limit."""
    counts: Counter[str] = Counter()
    for name in ("before_read", "before_write"):
        method = getattr(RateLimit, name)

        def counted(self: RateLimit, count: int, check: Any, name: str = name, method: Any = method) -> None:
            counts[name] += count
            method(self, count, check)

        monkeypatch.setattr(RateLimit, name, counted)
    return counts


def sync(**options: Any) -> float:
    """The seconds that a sync takes."""
    begun = time.monotonic()
    disk_sync.run(SyncRequest(SOURCE, TARGET, partitions=(1,), **options))
    return time.monotonic() - begun


def test_every_phase_keeps_to_the_limit(
    disks: tuple[PartitionedDisk, PartitionedDisk], moved: Counter[tuple[str, str]], asked: Counter[str]
) -> None:
    """What is read from both disks at the same time waits once, and what is read back waits too."""
    source, target = (disk.partition(1) for disk in disks)
    both = {(source, "read"): SIZE, (target, "read"): SIZE}
    copied = {(source, "read"): SIZE, (target, "read"): 2 * SIZE, (target, "write"): SIZE}
    full = {(source, "read"): SIZE, (target, "read"): 2 * SIZE}
    for options, expected in (({"check": True}, both), ({}, copied), ({"verify": "full"}, full)):
        moved.clear()
        asked.clear()
        seconds = sync(rate_limit=LIMIT, **options)
        assert moved == expected
        assert (asked["before_read"], asked["before_write"]) == (moved[target, "read"], moved[target, "write"])
        assert (max(moved.values()) - MIB) / seconds <= LIMIT, options
    assert content(source) == content(target)


class Ended(Progress):
    """Ends the run by a signal at the second step, and notes whether the run goes on."""

    def __init__(self) -> None:
        self.steps = 0

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        self.steps += 1
        if self.steps == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_ends_the_wait(disks: tuple[PartitionedDisk, PartitionedDisk]) -> None:
    """At a MiB a second the window that is waited for is the second one: without looking, many steps would follow."""
    ended = Ended()
    with pytest.raises(CancelledError) as caught:
        disk_sync.run(SyncRequest(SOURCE, TARGET, partitions=(1,), rate_limit=MIB), ended)
    assert ended.steps == 2
    assert isinstance(caught.value.report, SyncReport)
    (pair,) = caught.value.report.pairs
    assert pair.bytes_compared == 0


@pytest.mark.needs("tracefs", "mkfs.ext4")
@pytest.mark.parametrize(("quiesce", "expected"), [("live", [(False, LIMIT), (True, 0)]), ("freeze", [(True, LIMIT)])])
def test_full_speed_only_at_the_last_moment_of_a_live_copy(
    quiesce: str, expected: list[tuple[bool, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[tuple[bool, int]] = []
    checks: list[tuple[bool, int]] = []
    copy, verify = NativeEngine.copy, WriteLog.verify
    with MountedPair(tmp_path) as pair:

        def noted_copy(
            engine: NativeEngine, source: Any, target: Any, ranges: Any, monitor: Any, options: Any
        ) -> Outcome:
            passes.append((is_frozen(pair.root), options.limit.rate))
            if not passes[-1][0]:
                (pair.root / "written").write_bytes(os.urandom(MIB))
            return copy(engine, source, target, ranges, monitor, options)

        def noted_verify(log: WriteLog, target: Any, monitor: Any, limit: Any) -> int:
            checks.append((is_frozen(pair.root), limit.rate))
            return verify(log, target, monitor, limit)

        monkeypatch.setattr(NativeEngine, "copy", noted_copy)
        monkeypatch.setattr(WriteLog, "verify", noted_verify)
        request = SyncRequest(
            pair.source.identifier, pair.target.identifier, partitions=(2,), quiesce=quiesce, rate_limit=LIMIT
        )
        report = disk_sync.run(request)
        assert report.pairs[0].live is None or report.pairs[0].live.used
        assert list(dict.fromkeys(passes)) == expected  # on a busy machine a pass may be made twice
        assert set(checks) == {(False, LIMIT)}
        pair.assert_copied((2,))
