# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sync with the I/O class idle leaves this class while file systems are frozen, and the guardian never has it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.engines.base import Outcome
from blksync.engines.native.engine import NativeEngine
from blksync.options import SyncRequest
from blksync.quiesce import guardian
from blksync.sync import disk_sync
from blksync.system import io_priority
from blksync.system.device import Device
from tests.support.disks import MIB
from tests.support.mounted import MountedPair, is_frozen

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "tracefs", "mkfs.ext4", "ionice")
IDLE, BEST_EFFORT = "idle", "best-effort: prio 4"


def shown(process: int) -> str:
    """What ionice says of a process or thread."""
    return subprocess.run(["ionice", "-p", str(process)], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def idle() -> Iterator[None]:
    """This thread has the class idle."""
    former = io_priority.get()
    assert former is not None
    assert io_priority.put(io_priority.IDLE) == ""
    yield
    io_priority.put(former)


@pytest.fixture
def guardians(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process numbers of the guardians that are started."""
    started: list[int] = []
    start = guardian.start

    def noted(*arguments: Any) -> Any:
        answer = start(*arguments)
        started.append(answer[1])
        return answer

    monkeypatch.setattr(guardian, "start", noted)
    return started


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("quiesce", "expected"),
    [("live", [(False, IDLE), (True, BEST_EFFORT)]), ("freeze", [(True, BEST_EFFORT)])],
)
def test_the_class_idle_is_left_while_programs_wait(
    quiesce: str,
    expected: list[tuple[bool, str]],
    guardians: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[tuple[bool, str]] = []
    readers: list[set[str]] = []  # of each pass
    reading = False
    copy, read = NativeEngine.copy, Device.read
    with MountedPair(tmp_path) as pair:

        def noted_copy(engine: NativeEngine, *arguments: Any) -> Outcome:
            nonlocal reading
            passes.append((is_frozen(pair.root), shown(threading.get_native_id())))
            assert shown(guardians[0]) == BEST_EFFORT
            if not passes[-1][0]:
                (pair.root / "written").write_bytes(os.urandom(MIB))
            readers.append(set())
            reading = True
            outcome = copy(engine, *arguments)
            reading = False
            return outcome

        def noted_read(device: Device, buffer: memoryview, offset: int) -> None:
            if reading:
                readers[-1].add(shown(threading.get_native_id()))
            read(device, buffer, offset)

        monkeypatch.setattr(NativeEngine, "copy", noted_copy)
        monkeypatch.setattr(Device, "read", noted_read)
        request = SyncRequest(pair.source.identifier, pair.target.identifier, partitions=(2,), quiesce=quiesce)
        report = disk_sync.run(request)
        assert not [warning for warning in report.warnings if "I/O class" in warning]
        assert list(dict.fromkeys(passes)) == expected  # on a busy machine a pass may be made twice
        assert readers == [{priority} for _frozen, priority in passes]
        assert shown(threading.get_native_id()) == IDLE
        pair.assert_copied((2,))


@pytest.mark.usefixtures("idle")
def test_a_class_that_cannot_be_left_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a service whose SystemCallFilter forbids ioprio_set."""
    monkeypatch.setattr(io_priority, "put", lambda _priority: "Operation not permitted")
    with MountedPair(tmp_path) as pair:
        request = SyncRequest(pair.source.identifier, pair.target.identifier, partitions=(2,), quiesce="freeze")
        report = disk_sync.run(request)
        assert any("stays idle" in warning and "Operation not permitted" in warning for warning in report.warnings)
