# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live sync that is killed in whatever phase: nothing stays frozen, no trace is left on, and a rerun ends equal."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from blksync.live import convergence
from blksync.options import SyncRequest
from blksync.quiesce import recovery
from blksync.sync import disk_sync
from tests.support import tracefs
from tests.support.disks import MIB, SECTOR
from tests.support.frozen_truth import FrozenTruth
from tests.support.live_driver import FROZEN, PHASES, DrivenLive
from tests.support.mixed_writer import MixedWriter
from tests.support.mounted import MountedPair, wait_for
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4")

SOME_PHASES = ("pass 1", "last pass")
AT_MOST_LATER = 0.05  # seconds after the phase was reported
RUNS = 3  # of each phase and each way to kill, in depth


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPair]:
    with MountedPair(tmp_path_factory.mktemp("disks"), (8 * MIB // SECTOR, 48 * MIB // SECTOR)) as pair:
        yield pair


@pytest.fixture
def mounts(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[object, ...]]]:
    """What was mounted before, while something writes all the time; afterwards a new live sync must end equal."""
    before = pair.mounts()
    with MixedWriter(pair.root, 5, 8 * MIB):
        yield before
        pair.assert_restored(before, within=0)
        wait_for(lambda: not tracefs.leftovers(), state=tracefs.leftovers)  # of another test's sync, perhaps
        rerun(pair, monkeypatch)


def rerun(pair: MountedPair, patch: pytest.MonkeyPatch) -> None:
    truth = FrozenTruth(patch, pair.source.partition(2))
    patch.setattr(convergence, "LARGE", 1)
    (report,) = disk_sync.run(SyncRequest(**request(pair))).as_dict()["partitions"]
    assert report["live"]["used"], report
    assert truth.different(pair.target.partition(2)) == []


def request(pair: MountedPair, **options: Any) -> dict[str, Any]:
    disks = {"source": pair.source.identifier, "target": pair.target.identifier}
    return {**disks, "engine": "native", "quiesce": "live", "partitions": (2,), "compare": False, **options}


def killed(pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, group: bool, later: float) -> None:
    """Kill the sync ``later`` seconds after it was in that phase, or held there where that is 0."""
    hold = {} if later else {"hold_in": phase}
    with DrivenLive(**request(pair, **hold)) as driven:
        driven.wait_for("holding" if hold else phase)
        assert bool(pair.frozen()) is (phase in FROZEN) or later
        time.sleep(later)
        driven.kill(group)
        driven.process.wait()
        pair.assert_restored(mounts)
        wait_for(lambda: not tracefs.instances(driven.process.pid))


@pytest.mark.parametrize("phase", PHASES)
def test_sync_killed(pair: MountedPair, mounts: list[tuple[object, ...]], phase: str) -> None:
    killed(pair, mounts, phase, group=phase in ("pass 1", "last pass"), later=0)


@pytest.mark.full
@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("victim", ["sync", "group"])
@pytest.mark.parametrize("phase", PHASES)
def test_sync_killed_many_times(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, victim: str, number: int
) -> None:
    later = random.Random("%s %s %d" % (phase, victim, number)).uniform(0.001, AT_MOST_LATER)
    killed(pair, mounts, phase, victim == "group", later)


@pytest.mark.parametrize(
    "phase",
    [
        *SOME_PHASES,
        *(pytest.param(phase, marks=pytest.mark.full) for phase in PHASES if phase not in SOME_PHASES),
    ],
)
@pytest.mark.parametrize("who", ["restore-state", "next sync"])
def test_sync_and_guardian_killed(pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, who: str) -> None:
    with DrivenLive(**request(pair, hold_in=phase)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        os.kill(guardian, signal.SIGKILL)
        driven.kill()
        driven.process.wait()
    assert bool(pair.frozen()) is (phase in FROZEN)
    if who == "restore-state":
        runs = recovery.restore_state(patience=PATIENCE)
        assert [run.failures for run in runs] == [[]] * (phase in FROZEN)
    else:
        with DrivenLive(**request(pair)) as again:
            end = again.end()
        assert end["step"] == "done"
        assert end["partitions"][0]["live"]["used"], end["partitions"][0]["live"]
    pair.assert_restored(mounts, within=0)
    assert tracefs.instances(driven.process.pid) == []


@pytest.mark.parametrize("phase", ["traced", "last read"])
def test_guardian_killed(pair: MountedPair, mounts: list[tuple[object, ...]], phase: str) -> None:
    with DrivenLive(**request(pair, hold_in=phase)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        os.kill(guardian, signal.SIGKILL)
        driven.go_on()
        end = driven.end()
    assert end["kind"] == "quiesce"
    assert not end["report"]["partitions"][0]["complete"]
    pair.assert_restored(mounts)


@pytest.mark.parametrize(
    ("phase", "number"),
    [("pass 1", signal.SIGTERM), ("between", signal.SIGINT), ("last pass", signal.SIGTERM)],
)
def test_a_signal_ends_it_and_says_that_the_target_is_no_backup(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, number: signal.Signals
) -> None:
    with DrivenLive(**request(pair, hold_in=phase)) as driven:
        driven.wait_for("holding")
        driven.process.send_signal(number)
        driven.go_on()
        end = driven.end()
        assert (end["kind"], driven.process.returncode) == ("cancelled", 1)
        pair.assert_restored(mounts, within=0)
        assert tracefs.instances(driven.process.pid) == []
    (partition,) = end["report"]["partitions"]
    assert not partition["complete"]
    assert not partition["live"]["used"]
    assert end["lines"][-1] == "The backup disk is incomplete: it is no backup until a later run succeeds."
