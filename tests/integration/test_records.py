# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the records say of real disks, whatever ends a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.options import ImageRequest
from blksync.records import history, progress, store
from blksync.records.disk_record import CHANGED_ELSEWHERE, COMPLETE, INCOMPLETE, UNKNOWN, DiskRecord
from tests.support.blocks import fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.sync_driver import Driven

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (4 * MIB // SECTOR, 16 * MIB // SECTOR)
SOURCE, TARGET = identifiers()
Disks = tuple[PartitionedDisk, PartitionedDisk]


@pytest.fixture
def disks() -> Iterator[Disks]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        for number in (1, 2):
            fill(source.partition(number))
        yield source, target


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def driven(state: Path, **options: Any) -> Driven:
    return Driven(**{"source": SOURCE, "target": TARGET, "engine": "native", "state_dir": str(state), **options})


def sync(state: Path, **options: Any) -> dict[str, Any]:
    with driven(state, **options) as driving:
        return driving.end()


def record(state: Path) -> DiskRecord | None:
    found = store.load_all(str(state))
    assert not found.problems
    records = [record for record in found.records if record.key.ptuuid == TARGET]
    return records[0] if records else None


def runs(state: Path) -> list[tuple[str | None, bool]]:
    return [(run.error_kind, run.wrote) for run in history.read(str(state))]


def test_success_makes_a_disk_complete_and_is_in_the_history(disks: Disks, state: Path) -> None:
    assert sync(state)["changed"]
    found = record(state)
    assert found
    assert (found.state, found.model, found.size) == (COMPLETE, "", os.path.getsize(disks[1].file))
    assert sorted(found.signatures or {}) == ["1", "2"]
    (run,) = history.read(str(state))
    assert run == found.last_success == found.last_attempt
    assert (run.succeeded, run.wrote, run.source, run.ptuuid) == (True, True, SOURCE, TARGET)
    assert run.identifier == TARGET
    assert [pair.complete for pair in run.partitions] == [True, True]
    assert not sync(state)["changed"]
    assert runs(state) == [(None, True), (None, False)]


def test_check_mode_writes_no_record(disks: Disks, state: Path) -> None:
    sync(state, check=True)
    assert not state.exists()


@pytest.mark.parametrize("before", [COMPLETE, None])
@pytest.mark.parametrize("step", ["started:1", "advanced:1", "advanced:2", "verifying:2"])
def test_killed_run_leaves_the_disk_incomplete(disks: Disks, state: Path, before: str | None, step: str) -> None:
    if before:
        sync(state)
        fill(disks[0].partition(1), 0, 4096)
        fill(disks[0].partition(2), 0, 4096)
    with driven(state, hold_at=step) as driving:
        driving.wait_for("holding")
        found = record(state)
        assert found
        assert (found.state, found.last_attempt and found.last_attempt.end) == (INCOMPLETE, None)
        reached = progress.read(found.key)
        assert reached
        assert reached.phase in ("copying", "verifying")  # written once a second
        assert reached.size == sum(SIZES) * SECTOR
        driving.process.send_signal(signal.SIGKILL)
        driving.process.wait()
    found = record(state)
    assert found
    assert found.state == INCOMPLETE
    assert bool(found.last_success) is bool(before)
    assert "interrupted" not in [kind for kind, _wrote in runs(state)]
    sync(state)
    assert [kind for kind, _wrote in runs(state)][-2:] == ["interrupted", None]
    found = record(state)
    assert found
    assert found.state == COMPLETE
    assert progress.read(found.key) is None


def test_cancelled_run_that_wrote_leaves_the_disk_incomplete(disks: Disks, state: Path) -> None:
    sync(state)
    fill(disks[0].partition(1), 0, 4096)
    with driven(state, hold_at="advanced:2") as driving:
        driving.wait_for("holding")
        driving.process.send_signal(signal.SIGTERM)
        driving.go_on()
        assert driving.end()["kind"] == "cancelled"
    found = record(state)
    assert found
    assert (found.state, found.signatures) == (INCOMPLETE, None)
    assert runs(state)[-1] == ("cancelled", True)


def test_cancelled_run_that_wrote_nothing_changes_no_state(disks: Disks, state: Path) -> None:
    sync(state)
    with driven(state, hold_at="started:1") as driving:
        driving.wait_for("holding")
        driving.process.send_signal(signal.SIGTERM)
        driving.go_on()
        assert driving.end()["kind"] == "cancelled"
    found = record(state)
    assert found
    assert runs(state)[-1][0] == "cancelled"
    assert found.state == (INCOMPLETE if runs(state)[-1][1] else COMPLETE)


def torn_in_the_second(disks: Disks, state: Path) -> None:
    sync(state)
    for number in (1, 2):
        fill(disks[0].partition(number), 0, 4096)
    with driven(state, partitions=[2], hold_at="advanced:2") as driving:
        driving.wait_for("holding")
        driving.process.kill()
        driving.process.wait()


def test_copy_of_one_partition_mends_no_other_one(disks: Disks, state: Path) -> None:
    torn_in_the_second(disks, state)
    assert sync(state, partitions=[1])["changed"]
    found = record(state)
    assert found
    assert (found.state, found.torn) == (INCOMPLETE, (2,))
    sync(state, partitions=[2])
    found = record(state)
    assert found
    assert (found.state, found.torn) == (COMPLETE, ())


def test_work_beside_a_torn_partition_is_not_overwritten(disks: Disks, state: Path) -> None:
    torn_in_the_second(disks, state)
    fill(disks[1].partition(1), 0, 4096)
    written = disks[1].bytes_written()
    refused = sync(state)
    assert (refused["kind"], disks[1].bytes_written()) == ("refused", written)
    assert "partition 1 no longer looks" in refused["msg"]


def test_work_on_one_partition_outlives_a_copy_of_another(disks: Disks, state: Path) -> None:
    sync(state)
    fill(disks[1].partition(2), 0, 4096)
    sync(state, partitions=[1])
    assert sync(state)["kind"] == "refused"
    sync(state, partitions=[1], discard_changes=True)
    found = record(state)
    assert found
    assert found.state == CHANGED_ELSEWHERE


def test_refused_run_is_in_the_history_and_changes_no_state(disks: Disks, state: Path) -> None:
    sync(state)
    before = record(state)
    assert sync(state, protected=[TARGET])["kind"] == "refused"
    assert record(state) == before
    assert runs(state)[-1] == ("refused", False)


def test_run_that_finds_no_disk_is_in_the_history(state: Path) -> None:
    with driven(state, source="00000001", target="00000002") as driving:
        assert driving.end()["kind"] == "refused"
    (found,) = history.read(str(state))
    assert (found.identifier, found.ptuuid, found.error_kind) == ("00000002", None, "refused")


def test_record_that_cannot_be_written_ends_the_run_before_the_first_write(disks: Disks, state: Path) -> None:
    state.mkdir()
    (state / "disks").write_text("", encoding="ascii")
    written = disks[1].bytes_written()
    failed = sync(state)
    assert failed["kind"] == "record_error"
    assert str(state / "disks") in failed["msg"]
    assert disks[1].bytes_written() == written


@pytest.fixture
def changed_elsewhere(disks: Disks, state: Path, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", "-F", disks[0].partition(2))
    sync(state)
    mountpoint = tmp_path / "elsewhere"
    mountpoint.mkdir()
    run("mount", disks[1].partition(2), str(mountpoint))
    try:
        (mountpoint / "thesis").write_text("weeks of work", encoding="ascii")
    finally:
        run("umount", str(mountpoint))


@pytest.mark.usefixtures("changed_elsewhere")
def test_work_done_on_the_backup_is_not_overwritten(disks: Disks, state: Path) -> None:
    written = disks[1].bytes_written()
    refused = sync(state)
    assert (refused["kind"], disks[1].bytes_written()) == ("refused", written)
    assert "Somebody changed the backup disk" in refused["msg"]
    assert "partition 2" in refused["msg"]
    found = record(state)
    assert found
    assert found.state == CHANGED_ELSEWHERE
    assert sync(state)["kind"] == "refused"
    assert sync(state, discard_changes=True)["changed"]
    found = record(state)
    assert found
    assert found.state == COMPLETE
    assert not sync(state)["changed"]


@pytest.mark.usefixtures("changed_elsewhere")
def test_check_mode_refuses_too_and_writes_no_record(state: Path) -> None:
    before = record(state)
    assert sync(state, check=True)["kind"] == "refused"
    assert record(state) == before


def test_disk_that_was_only_looked_at_is_not_changed(disks: Disks, state: Path, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", "-F", disks[0].partition(2))
    sync(state)
    mountpoint = tmp_path / "elsewhere"
    mountpoint.mkdir()
    run("mount", "-o", "ro", disks[1].partition(2), str(mountpoint))
    run("umount", str(mountpoint))
    assert not sync(state)["changed"]


def test_image_on_a_partition_makes_the_disk_unknown(disks: Disks, state: Path) -> None:
    sync(state)
    fill(disks[0].partition(1), 0, 4096)
    options = {"source": disks[0].partition(1), "target": disks[1].partition(1), "state_dir": str(state)}
    for expected in (UNKNOWN, UNKNOWN):
        with Driven(ImageRequest, **options) as driving:
            assert driving.end()["step"] == "done"
        found = record(state)
        assert found
        assert found.state == expected


def test_image_that_changes_nothing_leaves_the_disk_complete(disks: Disks, state: Path) -> None:
    sync(state)
    options = {"source": disks[0].partition(1), "target": disks[1].partition(1), "state_dir": str(state)}
    with Driven(ImageRequest, **options) as driving:
        assert not driving.end()["changed"]
    found = record(state)
    assert found
    assert found.state == COMPLETE
