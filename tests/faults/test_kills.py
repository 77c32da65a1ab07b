# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever dies, and whenever: soon nothing is frozen, everything is mounted, and a rerun ends equal."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.quiesce import recovery
from tests.support.mounted import MountedPair, wait_for
from tests.support.quiesce_driver import ROOT, DrivenQuiesce
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "e2fsck")

PHASES = (
    *("guardian", "started:1", "quiescing:1", "quiesced:1", "advanced:1", "quiescing:2", "quiesced:2", "advanced:2"),
    *("restoring:1", "restored:1", "verifying:1", "verifying:2"),
)
SOME_QUIESCED = ("quiesced:1", "advanced:2")
QUIESCED = (
    *SOME_QUIESCED,
    *(pytest.param(step, marks=pytest.mark.full) for step in ("advanced:1", "quiesced:2", "restoring:1")),
)
AT_MOST_LATER = 0.05  # seconds after the step was reported: the next ones are reached as well
TIMEOUT = 4  # seconds: over soon, and yet a busy machine freezes within them
RUNS = 5  # of each phase and each way to kill, in depth: 2 x 12 x 5


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPair]:
    with MountedPair(tmp_path_factory.mktemp("disks")) as pair:
        yield pair


@pytest.fixture
def mounts(pair: MountedPair) -> Iterator[list[tuple[object, ...]]]:
    """What was mounted before; afterwards the same must be, and a new run must end equal."""
    for directory in (pair.boot, pair.root):
        (directory / "news").write_bytes(os.urandom(300_000))
    before = pair.mounts()
    yield before
    assert not [run for run in recovery.restore_state(patience=PATIENCE) if pair.source.path in run.label]
    rerun(pair)


def rerun(pair: MountedPair) -> None:
    with DrivenQuiesce(**pair.request()) as driven:
        end = driven.end()
    assert end["step"] == "done", end
    pair.assert_copied()


def killed_at_random(pair: MountedPair, before: list[tuple[object, ...]], phase: str, group: bool, seed: str) -> None:
    with DrivenQuiesce(**pair.request()) as driven:
        driven.wait_for(phase)
        time.sleep(random.Random(seed).uniform(0, AT_MOST_LATER))
        driven.kill(group)
        driven.process.wait()
        pair.assert_restored(before)


@pytest.mark.parametrize("phase", PHASES)
def test_sync_killed(pair: MountedPair, mounts: list[tuple[object, ...]], phase: str) -> None:
    killed_at_random(pair, mounts, phase, group=PHASES.index(phase) % 2 == 1, seed=phase)


@pytest.mark.full
@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("victim", ["sync", "group"])
@pytest.mark.parametrize("phase", PHASES)
def test_sync_killed_many_times(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, victim: str, number: int
) -> None:
    killed_at_random(pair, mounts, phase, victim == "group", "%s %s %d" % (phase, victim, number))


@pytest.mark.parametrize("phase", ["guardian", *QUIESCED])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_guardian_killed(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, number: signal.Signals
) -> None:
    with DrivenQuiesce(**pair.request(), **holding(phase)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        os.kill(guardian, number)
        if number == signal.SIGTERM:
            pair.assert_restored(mounts)  # it does so itself, at once
        driven.go_on()
        end = driven.end()
        assert end.get("kind") == "quiesce", end
        pair.assert_restored(mounts)


@pytest.mark.full
@pytest.mark.parametrize("phase", ["quiescing:1", "quiescing:2", "restoring:1"])
@pytest.mark.parametrize("number", range(8))
def test_guardian_killed_in_the_middle_of_its_work(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, number: int
) -> None:
    with DrivenQuiesce(**pair.request(hold_in=phase)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        driven.go_on()
        time.sleep(random.Random("%s %d" % (phase, number)).uniform(0, AT_MOST_LATER))
        os.kill(guardian, signal.SIGKILL)
        end = driven.end()
        assert end.get("kind") == "quiesce" or phase == "restoring:1", end
        pair.assert_restored(mounts)


@pytest.mark.parametrize("phase", QUIESCED)
def test_sync_and_guardian_killed_leave_what_restore_state_needs(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str
) -> None:
    with DrivenQuiesce(**pair.request(), **holding(phase)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        (alive,) = (run for run in recovery.restore_state(patience=0) if pair.source.path in run.label)
        assert alive.running
        os.kill(guardian, signal.SIGKILL)
        driven.kill()
        driven.process.wait()
        assert pair.frozen() or pair.mounts() != mounts
        (restored,) = (run for run in recovery.restore_state(patience=PATIENCE) if pair.source.path in run.label)
        quiesced = ["unmounted"] if phase in ("quiesced:1", "advanced:1") else ["unmounted", "frozen"]
        assert [action.action for action in restored.actions] == quiesced
        assert restored.failures == []
        pair.assert_restored(mounts, within=0)


@pytest.mark.parametrize("phase", QUIESCED)
def test_the_next_sync_puts_back_what_a_killed_one_left(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str
) -> None:
    with DrivenQuiesce(**pair.request(), **holding(phase)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        os.kill(guardian, signal.SIGKILL)
        driven.kill()
        driven.process.wait()
    assert pair.frozen() or pair.mounts() != mounts
    with DrivenQuiesce(**pair.request()) as again:
        assert again.end()["step"] == "done"
    pair.assert_restored(mounts, within=0)


@pytest.mark.parametrize("phase", ["quiesced:1", "quiesced:2"])
def test_time_is_over(pair: MountedPair, mounts: list[tuple[object, ...]], phase: str) -> None:
    number = int(phase[-1])
    with DrivenQuiesce(**pair.request(quiesce_timeout=TIMEOUT, hold_in=phase, partitions=[number])) as driven:
        driven.wait_for("holding")
        assert pair.frozen() or pair.mounts() != mounts
        pair.assert_restored(mounts)
        driven.go_on()
        end = driven.end()
    assert end["kind"] == "quiesce"
    assert "quiesce_timeout" in end["msg"]
    assert "inconsistent" in end["msg"]
    assert not end["report"]["partitions"][-1]["complete"]


def test_time_is_over_for_a_sync_that_is_stopped(pair: MountedPair, mounts: list[tuple[object, ...]]) -> None:
    with DrivenQuiesce(**pair.request(quiesce_timeout=TIMEOUT, hold_in="quiesced:2", partitions=[2])) as driven:
        driven.wait_for("holding")
        driven.process.send_signal(signal.SIGSTOP)
        pair.assert_restored(mounts)
        driven.process.send_signal(signal.SIGCONT)
        driven.go_on()
        assert driven.end()["kind"] == "quiesce"


def test_a_guardian_that_does_not_answer_is_done_without(pair: MountedPair, mounts: list[tuple[object, ...]]) -> None:
    with DrivenQuiesce(**pair.request(hold_in="quiesced:2", patience=5)) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        os.kill(guardian, signal.SIGSTOP)
        driven.go_on()
        assert driven.end()["kind"] == "quiesce"
        pair.assert_restored(mounts)


@pytest.mark.parametrize(
    ("phase", "number"), [("quiesced:1", signal.SIGINT), ("quiesced:2", signal.SIGTERM), ("advanced:2", signal.SIGHUP)]
)
def test_a_signal_ends_the_copy_cleanly(
    pair: MountedPair, mounts: list[tuple[object, ...]], phase: str, number: signal.Signals
) -> None:
    with DrivenQuiesce(**pair.request(), **holding(phase)) as driven:
        driven.wait_for("holding")
        driven.process.send_signal(number)
        driven.go_on()
        end = driven.end()
        assert (end["kind"], driven.process.returncode) == ("cancelled", 1)
        pair.assert_restored(mounts, within=0)
    assert number.name in end["msg"]
    assert not end["report"]["partitions"][-1]["complete"]


def test_the_reader_of_the_output_is_gone(pair: MountedPair, mounts: list[tuple[object, ...]]) -> None:
    with DrivenQuiesce(**pair.request(hold_in="quiesced:2")) as driven:
        driven.wait_for("holding")
        assert driven.process.stdout is not None
        driven.process.stdout.close()
        driven.process.stdout = None
        driven.go_on()
        assert driven.process.wait(PATIENCE) != 0
        pair.assert_restored(mounts, within=0)


def test_a_remount_that_fails_is_reported_with_the_command_to_run(
    pair: MountedPair, mounts: list[tuple[object, ...]]
) -> None:
    with DrivenQuiesce(**pair.request(hold_in="quiesced:1")) as driven:
        driven.wait_for("holding")
        pair.boot.rmdir()
        driven.go_on()
        end = driven.end()
    assert end["kind"] == "restore"
    device = pair.source.partition(1)
    assert "Run: mount -t ext2 -o nosuid,noexec,relatime %s %s" % (device, pair.boot) in end["msg"]
    assert not end["report"]["partitions"][0]["complete"]
    pair.boot.mkdir()
    (restored,) = (run for run in recovery.restore_state(patience=PATIENCE) if pair.source.path in run.label)
    assert restored.failures == []
    pair.assert_restored(mounts, within=0)


def test_standard_output_closed(pair: MountedPair, mounts: list[tuple[object, ...]]) -> None:
    with DrivenQuiesce(**pair.request()) as template:
        template.kill()
        argv = template.process.args
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv]  # type: ignore[misc]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins" / "module_utils")}
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    pair.assert_restored(mounts, within=0)
    pair.assert_copied()


def test_a_full_file_system_with_the_temporary_files_on_it(
    pair: MountedPair, mounts: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in (pair.boot, pair.root):
        subprocess.run(["dd", "if=/dev/zero", "of=%s/filler" % directory, "bs=64k"], capture_output=True, check=False)
    monkeypatch.setenv("TMPDIR", str(pair.root))
    try:
        rerun(pair)
        pair.assert_restored(mounts, within=0)
    finally:
        for directory in (pair.boot, pair.root):
            (directory / "filler").unlink()


def test_the_guardian_keeps_nothing_open_that_is_the_syncs(pair: MountedPair, mounts: list[tuple[object, ...]]) -> None:
    with DrivenQuiesce(**pair.request(hold_in="quiesced:2")) as driven:
        guardian = driven.wait_for("guardian")["pid"]
        driven.wait_for("holding")
        directory = Path("/proc/%d" % guardian)
        links = sorted(os.readlink(fd) for fd in (directory / "fd").iterdir())
        assert [link.split(":")[0] for link in links if link != "/dev/null"] == [
            *sorted([pair.source.partition(1), str(pair.root)]),  # the one it has unmounted, and the one it froze
            *("pipe", "pipe", "socket"),
        ]
        status = dict(line.split(":\t", 1) for line in (directory / "status").read_text().splitlines())
        assert int(status["VmLck"].split()[0]) > 1000
        assert os.getsid(guardian) not in (guardian, driven.process.pid)
        lower = ["sh", "-c", "echo -1000 > /proc/self/oom_score_adj"]  # some machines let nobody do that
        if subprocess.run(lower, capture_output=True, check=False).returncode == 0:
            assert (directory / "oom_score_adj").read_text() == "-1000\n"
        driven.go_on()
        assert driven.end()["step"] == "done"
    wait_for(lambda: not directory.exists() or "zombie" in (directory / "status").read_text())


def holding(step: str) -> dict[str, str]:
    """The option that holds the sync at a step: some are reported by the sync, others by its quiescer."""
    return {"hold_at" if step.startswith(("started", "advanced", "verifying")) else "hold_in": step}
