# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hint of a read error says what the target holds now, and what to do."""

from __future__ import annotations

import pytest

from blksync.discovery.model import Partition
from blksync.errors import DeviceReadError, QuiesceError
from blksync.quiesce.plan import QuiescePlan
from blksync.sync.plan import Pair
from blksync.sync.read_errors import explained
from blksync.sync.result import PairReport

SOURCE, TARGET = (Partition(2, name, "/dev/" + name, "8:2", 0, 8192) for name in ("sda2", "sdb2"))


def hint(failed: str, number: int = 2, **state: object) -> str:
    entry = PairReport(Pair(number, SOURCE, TARGET, QuiescePlan()), **state)  # type: ignore[arg-type]
    with pytest.raises(DeviceReadError) as caught, explained(entry, SOURCE.path):
        raise DeviceReadError(failed, 4096, "Input/output error")
    return caught.value.hint


def test_the_state_of_the_target_is_told() -> None:
    assert hint(SOURCE.path).startswith("Nothing was written to partition 2 of the target")
    assert hint(SOURCE.path, writing=True).startswith("The target may hold neither the old nor the new state of")
    some = hint(SOURCE.path, writing=True, bytes_written=4096)
    assert some.startswith("The target now holds neither the old nor the new state of partition 2: it is no backup")
    assert "of the image: it is no backup" in hint(SOURCE.path, 0, writing=True, bytes_written=4096)


def test_the_side_that_failed_decides_what_to_do() -> None:
    assert "ddrescue" in hint(SOURCE.path)
    assert "The backup disk is failing: replace it" in hint(TARGET.path)
    assert "ddrescue" not in hint(TARGET.path)


def test_other_errors_pass_unchanged() -> None:
    error = QuiesceError("Cannot freeze.", "Wait.")
    with (
        pytest.raises(QuiesceError) as caught,
        explained(PairReport(Pair(2, SOURCE, TARGET, QuiescePlan())), SOURCE.path),
    ):
        raise error
    assert caught.value.hint == "Wait."
