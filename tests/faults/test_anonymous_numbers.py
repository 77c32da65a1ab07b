# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs shows a number of its own in mountinfo, and another one each time it is mounted."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from blksync.options import SyncRequest
from blksync.quiesce.plan import steps_for
from blksync.sync import disk_plan, disk_sync
from blksync.sync.pair import PairCopy
from tests.support.disks import run
from tests.support.mounted import MountedPair
from tests.support.stillness_cases import KINDS, SIZES

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.btrfs")


def test_its_last_number_is_given_away_while_it_is_unmounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "btrfs" not in Path("/proc/filesystems").read_text().split():
        pytest.skip("needs a kernel with btrfs")
    monkeypatch.setattr(disk_plan, "steps_for", functools.partial(steps_for, unfreezable=("btrfs",)))
    copy = PairCopy.copy
    with MountedPair(tmp_path, SIZES, *KINDS["btrfs"]) as pair, ExitStack() as taken:

        def take_numbers(*arguments: Any, **named: Any) -> None:
            for number in range(8):
                directory = tmp_path / ("taken-%d" % number)
                directory.mkdir()
                run("mount", "-t", "tmpfs", "taken", str(directory))
                taken.callback(run, "umount", str(directory))
            copy(*arguments, **named)

        monkeypatch.setattr(PairCopy, "copy", take_numbers)
        disks = (pair.source.identifier, pair.target.identifier)
        request = SyncRequest(*disks, partitions=(2,), quiesce="freeze", engine="native")
        assert disk_sync.run(request).as_dict()["partitions"][0]["quiesce"][0]["action"] == "unmounted"
        assert (pair.root / "system").exists()
