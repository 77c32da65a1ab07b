# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel does not end a freeze while a write hangs: time is over all the same, and nothing stays frozen later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blksync.quiesce import link, recovery
from blksync.quiesce.actions.freeze import LEAVE_PATIENCE
from blksync.quiesce.actions.freeze_process import FIFREEZE
from blksync.system.processes import waits_in_kernel
from tests.support import hung_writer
from tests.support.hung_writer import HungWriter
from tests.support.mounted import MountedPair, wait_for
from tests.support.quiesce_driver import DrivenQuiesce
from tests.support.waiting import PATIENCE

pytestmark = [
    pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4"),
    pytest.mark.skipif(not hung_writer.possible(), reason="the hung writer is for x86_64"),
]

TIMEOUT = 4  # seconds: over soon, and yet a busy machine begins to freeze within them


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path) as pair:
        yield pair


def runs(pair: MountedPair, patience: float = 0) -> list[recovery.RestoredRun]:
    return [run for run in recovery.restore_state(patience=patience) if pair.source.path in run.label]


def freezers(pair: MountedPair) -> list[int]:
    """The processes that are in FIFREEZE for this pair."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                _number, fd, request, *_others = (directory / "syscall").read_text().split()
                if int(request, 16) == FIFREEZE and (directory / "fd" / str(int(fd, 16))).readlink() == pair.root:
                    found.append(int(directory.name))
            except (OSError, ValueError):
                continue  # it is gone, or in no system call
    return found


@contextmanager
def steady_writer(file: Path) -> Iterator[int]:
    """A process that writes to the file all the time; yields its number."""
    program = "import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT); print('writing', flush=True)\n"
    program += "while True: os.pwrite(fd, b'x', 0)"
    with subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_frozen_seconds_count_the_waiting_for_fifreeze(pair: MountedPair) -> None:
    """The writer waits at both moments that are taken here, and so between them, whatever the load."""
    with (
        HungWriter(pair.root) as hung,
        steady_writer(pair.root / "steady") as writer,
        DrivenQuiesce(**pair.request(partitions=[2])) as driven,
    ):
        driven.wait_for("quiescing:2")
        wait_for(lambda: bool(freezers(pair)) and waits_in_kernel(writer))
        since = time.monotonic()
        wait_for(lambda: time.monotonic() > since + 1)
        waited = time.monotonic() - since
        assert freezers(pair)
        hung.end()
        end = driven.end()
    assert end["step"] == "done", end
    (entry,) = end["partitions"][0]["quiesce"]
    assert waited <= entry["frozen_seconds"] <= entry["seconds"]


def test_the_time_is_over_while_the_kernel_still_freezes(pair: MountedPair) -> None:
    before = pair.mounts()
    with (
        HungWriter(pair.root) as writer,
        DrivenQuiesce(**pair.request(quiesce_timeout=TIMEOUT, partitions=[2])) as driven,
    ):
        driven.wait_for("quiescing:2")
        begun = time.monotonic()
        end = driven.end()
        assert time.monotonic() - begun < link.ANSWER_PATIENCE  # it was not given up
        assert end["kind"] == "restore", end
        assert "fsfreeze --unfreeze %s" % pair.root in end["msg"]
        assert "a write to it hangs (process %d (" % writer.pid in end["msg"]
        assert end["report"]["partitions"][-1]["frozen_seconds"] >= LEAVE_PATIENCE  # writers wait still
        (run,) = runs(pair)
        assert run.running  # the state file is there, and somebody who still works on it
        writer.end()
        wait_for(lambda: not runs(pair))
    pair.assert_restored(before)


@pytest.mark.parametrize("helpers", ["the guardian", "whoever freezes as well"])
def test_the_guardian_is_killed_while_the_kernel_still_freezes(pair: MountedPair, helpers: str) -> None:
    before = pair.mounts()
    request = pair.request(quiesce_timeout=TIMEOUT, patience=5, partitions=[2])
    with HungWriter(pair.root) as writer, DrivenQuiesce(**request) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("quiescing:2")
        wait_for(lambda: bool(freezers(pair)))
        for pid in {guardian, *(freezers(pair) if helpers != "the guardian" else ())}:
            os.kill(pid, signal.SIGKILL)
        end = driven.end()
        assert end["kind"] == "restore", end
        assert "fsfreeze --unfreeze %s" % pair.root in end["msg"]
        assert end["report"]["partitions"][-1]["frozen_seconds"] > 0
        assert [run.running for run in runs(pair)] == [True]
        writer.end()
        wait_for(lambda: not freezers(pair))
    assert [run.failures for run in runs(pair, patience=PATIENCE)] == [[]]
    pair.assert_restored(before)
    assert runs(pair) == []


def test_the_sync_is_killed_while_the_kernel_still_freezes(pair: MountedPair) -> None:
    before = pair.mounts()
    with HungWriter(pair.root) as writer, DrivenQuiesce(**pair.request()) as driven:
        driven.wait_for("quiescing:2")
        wait_for(lambda: bool(freezers(pair)))
        driven.kill()
        driven.process.wait()
        assert [run.running for run in runs(pair)] == [True]
        writer.end()
        wait_for(lambda: not runs(pair))
    pair.assert_restored(before)
