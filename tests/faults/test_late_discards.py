# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discards that go on after a freeze, as those of fstrim do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.errors import QuiesceError
from blksync.live.dirty_tracker import DirtyTracker
from blksync.options import SyncRequest
from blksync.ranges import Range
from blksync.sync import copy_run, disk_sync
from blksync.sync.pair import PairCopy
from tests.support.disks import MIB, SECTOR
from tests.support.frozen_truth import FrozenTruth
from tests.support.mounted import SIZES, MountedPair
from tests.support.stillness_cases import discard
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path, SIZES) as pair:
        yield pair


def request(pair: MountedPair) -> SyncRequest:
    disks = (pair.source.identifier, pair.target.identifier)
    return SyncRequest(*disks, partitions=(2,), quiesce="live", engine="native")


def discard_late(pair: MountedPair, patch: pytest.MonkeyPatch, times: Iterator[int]) -> None:
    """Whenever the copy is about to look, as often as ``times`` has it."""
    changes = PairCopy.changes

    def changed(copy: PairCopy, tracker: DirtyTracker | None) -> tuple[Range, ...]:
        if next(times, None) is not None:
            discard(pair.source.partition(2), SIZES[1] * SECTOR - MIB, 4096)
        return changes(copy, tracker)

    patch.setattr(PairCopy, "changes", changed)


def test_a_live_copy_waits_for_discards_to_end(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_run, "LATE_SECONDS", PATIENCE)
    truth = FrozenTruth(monkeypatch, pair.source.partition(2))
    discard_late(pair, monkeypatch, iter(range(3 * copy_run.LATE)))
    (entry,) = disk_sync.run(request(pair)).as_dict()["partitions"]
    assert entry["complete"]
    assert entry["live"]["used"]
    assert truth.different(pair.target.partition(2)) == []


def test_discards_without_end_are_named(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_run, "LATE_SECONDS", 0)
    discard_late(pair, monkeypatch, itertools.count())
    with pytest.raises(QuiesceError, match="fstrim") as caught:
        disk_sync.run(request(pair))
    assert caught.value.report is not None
    assert not caught.value.report.as_dict()["partitions"][0]["complete"]
    assert pair.frozen() == []
