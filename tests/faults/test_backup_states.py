# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a backup disk after whatever happened to a run: text, exit code, JSON, metrics and history agree."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from blksync.options import ImageRequest
from blksync.paths import RUN_DIR
from blksync.records import store
from tests.support.blocks import assert_equal, content, fill
from tests.support.command import Command
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.sync_driver import Driven

pytestmark = [pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "e2fsck")]
SIZES = (4 * MIB // SECTOR, 24 * MIB // SECTOR)
SOURCE, TARGET = identifiers()
SECOND = "5e%06x" % (os.getpid() & 0xFFFFFF)
GOOD, NOT_GOOD = 0, 4
KILLS = {"sample": 5, "full": 30, "long": 300}


class Scene:
    """A main disk, a backup disk on a small tmpfs of its own, and a job whose records are on another one."""

    def __init__(self, directory: Path) -> None:
        self.room, self.state, self.textfiles = (directory / name for name in ("room", "state", "textfiles"))
        for place in (self.room, self.state, self.textfiles):
            place.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=64m", "room", str(self.room))
        run("mount", "-t", "tmpfs", "-o", "size=256k", "state", str(self.state))
        self.command = Command(directory, state=self.state)
        self.source = PartitionedDisk(SOURCE, SIZES)
        self.target = PartitionedDisk(TARGET, SIZES, gap=4096, directory=self.room)
        self.job()
        for number in (1, 2):
            fill(self.source.partition(number))

    def close(self) -> None:
        self.target.close()
        self.source.close()
        for place in (self.room, self.state):
            run("umount", str(place))

    def job(self, *targets: str, **options: object) -> None:
        self.command.put_job("travel", SOURCE, *(targets or (TARGET,)), textfile_dir=str(self.textfiles), **options)

    def sync(self, code: int = 0) -> str:
        return self.command.run("sync", "travel", code=code).stderr

    def change(self) -> None:
        """Let both partitions of the source differ from the backup."""
        for number in (1, 2):
            fill(self.source.partition(number), 0, MIB)

    def driven(self, hold_at: str) -> Driven:
        return Driven(source=SOURCE, target=TARGET, engine="native", state_dir=str(self.state), hold_at=hold_at)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    tmp_path.chmod(0o755)
    scene = Scene(tmp_path)
    yield scene
    scene.close()


@dataclass(frozen=True)
class Situation:
    """What happens, and what must be said afterwards. ``last`` is the error of the last run in the history.

    A line of the history still fits into its page when there is no room for a record.
    """

    happen: Callable[[Scene], object]
    state: str
    exit_code: int = NOT_GOOD
    last: str | None = None
    stale: bool = False


def nothing(_scene: Scene) -> None:
    """The disk never came."""


def succeed(scene: Scene) -> None:
    scene.sync()


def kill_at(step: str) -> Callable[[Scene], None]:
    def happen(scene: Scene) -> None:
        scene.sync()
        scene.change()
        with scene.driven(step) as driving:
            driving.wait_for("holding")
            driving.process.send_signal(signal.SIGKILL)
            driving.process.wait()

    return happen


def refuse(scene: Scene) -> None:
    scene.job(protected=[TARGET])
    scene.sync(code=1)
    scene.job()


def refuse_after_success(scene: Scene) -> None:
    scene.sync()
    scene.change()
    refuse(scene)


def read_error(scene: Scene) -> None:
    scene.sync()
    scene.change()
    end = scene.source.size
    os.truncate(scene.source.file, end // 2)
    scene.sync(code=1)
    os.truncate(scene.source.file, end)


def write_error(scene: Scene) -> None:
    """The file below the backup disk cannot grow any more."""
    free = os.statvfs(scene.room)
    (scene.room / "full").write_bytes(bytes(free.f_bavail * free.f_frsize - 2 * MIB))
    assert "Cannot write" in scene.sync(code=1)
    (scene.room / "full").unlink()


def cancel(scene: Scene) -> None:
    scene.sync()
    scene.change()
    with scene.driven("advanced:2") as driving:
        driving.wait_for("holding")
        driving.process.send_signal(signal.SIGTERM)
        driving.go_on()
        assert driving.end()["kind"] == "cancelled"


def fill_up(place: Path) -> None:
    fd = os.open(place / "full", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(fd, bytes(4096)):
            pass
    os.close(fd)


def no_room_for_the_record(scene: Scene) -> None:
    scene.sync()
    scene.change()
    before = content(scene.target.partition(1))
    fill_up(scene.state)
    told = scene.sync(code=1)
    assert str(scene.state / "disks") in told
    assert "No space left on device" in told
    assert content(scene.target.partition(1)) == before
    (scene.state / "full").unlink()


def no_room_at_the_end(scene: Scene) -> None:
    """The copy is complete, which cannot be written down."""
    scene.sync()
    scene.change()
    with scene.driven("advanced:1") as driving:
        driving.wait_for("holding")
        fill_up(scene.state)
        driving.go_on()
        end = driving.end()
    assert end["step"] == "done"
    assert any("No space left on device" in warning for warning in end["warnings"]), end
    assert_equal(scene.source, scene.target)
    (scene.state / "full").unlink()


def no_room_in_run(scene: Scene) -> None:
    scene.sync()
    scene.change()
    run("mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1,mode=700", "full", RUN_DIR)
    try:
        assert RUN_DIR in scene.sync(code=1)
    finally:
        run("umount", RUN_DIR)


def clock_set_back(scene: Scene) -> None:
    scene.sync()
    (record,) = store.load_all(str(scene.state)).records
    assert record.last_success
    later = replace(record.last_success, end=time.time() + 3600)
    store.save(replace(record, last_success=later), str(scene.state))


def work_elsewhere(scene: Scene) -> None:
    run("mkfs.ext4", "-q", "-F", scene.source.partition(2))
    scene.sync()
    mountpoint = scene.room / "elsewhere"
    mountpoint.mkdir()
    run("mount", scene.target.partition(2), str(mountpoint))
    run("umount", str(mountpoint))
    assert "--discard-changes" in scene.sync(code=1)


def discard(scene: Scene) -> None:
    work_elsewhere(scene)
    scene.command.run("sync", "travel", "--discard-changes")


def verify(scene: Scene) -> None:
    scene.sync()
    scene.change()
    scene.command.run("verify", "travel", code=1)


def image_over_it(scene: Scene) -> None:
    scene.sync()
    image = scene.room / "image"
    image.write_bytes(os.urandom(SIZES[0] * SECTOR))
    target = scene.target.partition(1)
    with Driven(ImageRequest, source=str(image), target=target, state_dir=str(scene.state)) as driving:
        assert driving.end()["step"] == "done"


SITUATIONS = {
    "never plugged in": Situation(nothing, "never"),
    "success": Situation(succeed, "complete", GOOD),
    "killed before the first write": Situation(kill_at("started:1"), "interrupted"),
    "killed in the first partition": Situation(kill_at("advanced:1"), "interrupted"),
    "killed in the second partition": Situation(kill_at("advanced:2"), "interrupted"),
    "killed while it verified": Situation(kill_at("verifying:2"), "interrupted"),
    "refused": Situation(refuse, "never", last="refused"),
    "refused after a success": Situation(refuse_after_success, "complete", GOOD, last="refused"),
    "read error": Situation(read_error, "incomplete", last="read_error"),
    "write error": Situation(write_error, "incomplete", last="write_error"),
    "SIGTERM": Situation(cancel, "incomplete", last="cancelled"),
    "/var full before": Situation(no_room_for_the_record, "complete", GOOD, last="record_error"),
    "/var full at the end": Situation(no_room_at_the_end, "interrupted"),
    "/run full": Situation(no_room_in_run, "complete", GOOD, last="device_busy"),
    "clock set back": Situation(clock_set_back, "complete", stale=True),
    "worked on elsewhere": Situation(work_elsewhere, "changed_elsewhere", last="refused"),
    "changes discarded": Situation(discard, "complete", GOOD),
    "verify finds a difference": Situation(verify, "complete", GOOD, last="different"),
    "an image over it": Situation(image_over_it, "unknown"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_voice_says_the_same(scene: Scene, name: str) -> None:
    situation = SITUATIONS[name]
    situation.happen(scene)
    complete = situation.state == "complete"

    text = scene.command.run("status", code=situation.exit_code).stdout
    shown = "stale" if situation.stale else situation.state.replace("_", " ")
    assert re.search(rf"^travel +{TARGET} +{shown}  ", text, re.MULTILINE), text
    assert ("run blksync sync travel" in text) is (situation.exit_code != GOOD)

    data = scene.command.json("status", code=situation.exit_code)
    (disk,) = data["jobs"][0]["disks"]
    assert (disk["state"], disk["stale"], disk["good"]) == (
        situation.state,
        situation.stale or (situation.state == "never" and disk["stale"]),
        situation.exit_code == GOOD,
    )
    assert data["good"] is (situation.exit_code == GOOD)

    scene.command.run("status", "--textfile")
    metrics = (scene.textfiles / "blksync_travel.prom").read_text()
    assert f'blksync_disk_complete{{job="travel",disk="{TARGET}"}} {float(complete)}\n' in metrics
    assert f'blksync_job_good{{job="travel"}} {float(situation.exit_code == GOOD)}\n' in metrics

    runs = scene.command.json("history", "--limit", "1")["runs"]
    assert [each["error_kind"] for each in runs] == ([] if situation.happen is nothing else [situation.last])


@pytest.mark.parametrize("torn_first", [True, False])
def test_one_of_two_rotated_disks_is_torn(scene: Scene, torn_first: bool) -> None:
    with PartitionedDisk(SECOND, SIZES, gap=8192):
        scene.job(TARGET, SECOND)
        scene.sync()
        scene.change()
        torn, other = (TARGET, SECOND) if torn_first else (SECOND, TARGET)
        options = {"source": SOURCE, "engine": "native", "state_dir": str(scene.state)}
        with Driven(**options, target=torn, hold_at="advanced:2") as driving:
            driving.wait_for("holding")
            driving.process.kill()
            driving.process.wait()
    standing = scene.command.json("status", code=GOOD)["jobs"][0]
    assert [(disk["identifier"], disk["state"]) for disk in standing["disks"]] == [
        (torn, "interrupted"),
        (other, "complete"),
    ]
    scene.job(TARGET, SECOND, require="all")
    assert scene.command.json("status", code=NOT_GOOD)["jobs"][0]["good"] is False


def test_state_after_a_kill_is_never_better_than_the_disk(scene: Scene, depth: str) -> None:
    """Kills at random points of a sync with a file system in the second partition, most of them while it copies."""
    chance = random.Random(depth)
    seen: Counter[str] = Counter()
    longest = 0.0
    for number in range(KILLS[depth]):
        if state_of(scene) != "complete":
            begun = time.monotonic()
            with scene.driven("") as driving:
                driving.wait_for("started:1")
                begun = time.monotonic()
                assert driving.end()["step"] == "done"
            longest = max(longest, time.monotonic() - begun)
        before = looks(scene)
        fill(scene.source.partition(1))
        run("mkfs.ext4", "-q", "-F", scene.source.partition(2))
        with scene.driven("") as driving:
            if number % 5:
                driving.wait_for("started:1")
            time.sleep(chance.uniform(0, longest))
            driving.process.kill()
            driving.process.wait()
        state = state_of(scene)
        if state == "complete" and looks(scene) != before:
            state = "new"
            assert_equal(scene.source, scene.target)
            run("e2fsck", "-fn", scene.target.partition(2))
        seen[state] += 1
    assert set(seen) <= {"complete", "new", "interrupted"}, seen
    print(dict(seen))
    scene.sync()
    assert_equal(scene.source, scene.target)


def state_of(scene: Scene) -> str:
    records = store.load_all(str(scene.state)).records
    if not records:
        return "never"
    (record,) = records
    return "interrupted" if record.last_attempt and record.last_attempt.end is None else record.state


def looks(scene: Scene) -> str:
    """A digest of the backup disk's partitions."""
    digest = hashlib.sha256()
    for number in (1, 2):
        digest.update(content(scene.target.partition(number)))
    return digest.hexdigest()
