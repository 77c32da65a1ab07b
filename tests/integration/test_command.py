# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blksync command on real block devices: by job and by options, its exit codes, its look in a terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tracefs
from tests.support.blocks import assert_equal, content, fill
from tests.support.command import ENVIRONMENT, PATIENCE, Command, InTerminal
from tests.support.disks import MIB, SECTOR, PartitionedDisk
from tests.support.mounted import MountedPair

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (8 * MIB // SECTOR, 24 * MIB // SECTOR)
UNIQUE = "%06x" % (os.getpid() & 0xFFFFFF)  # other disks of the machine may be there for other tests
SOURCE, FIRST, SECOND, NONE = ("%s%s" % (start, UNIQUE) for start in ("c0", "c1", "c2", "c3"))
OK, ERROR, USAGE, ABSENT, NOT_GOOD = range(5)
Disks = tuple[PartitionedDisk, PartitionedDisk]


@pytest.fixture
def disks() -> Iterator[Disks]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(FIRST, SIZES, gap=4096) as target:
        fill(source.partition(1), length=MIB)
        fill(source.partition(2), length=2 * MIB)
        yield source, target


@pytest.fixture
def command(tmp_path: Path) -> Command:
    tmp_path.chmod(0o755)
    return Command(tmp_path)


def test_a_job_from_first_to_last(disks: Disks, command: Command, tmp_path: Path) -> None:
    command.put_job("travel", SOURCE, FIRST, NONE, max_age=3600, textfile_dir=str(tmp_path))
    assert "Nothing was ever copied to it" in command.run("status", code=NOT_GOOD).stdout

    predicted = command.run("sync", "travel", "--check")
    assert "256 of 2048 blocks differ, 1.0 MiB would be written" in predicted.stdout
    assert not command.state.exists()
    assert re.search(
        r"partition 2: differs in 512 of 6144 blocks$", command.run("verify", "travel", code=ERROR).stdout, re.M
    )

    first = command.run("sync", "travel")
    assert "512 of 6144 blocks differed, 2.0 MiB written" in first.stdout
    assert first.stdout.endswith("The backup disk is complete and can be disconnected.\n")
    assert first.stderr == ""
    assert_equal(*disks)
    assert "unchanged" in command.run("sync", "travel").stdout
    verified = command.run("verify", "travel").stdout
    assert "partition 1: equal, 8.0 MiB compared" in verified

    first_disk, other = command.json("status")["jobs"][0]["disks"]
    assert (other["state"], first_disk["state"]) == ("complete", "never")
    assert (other["bytes_written"], bool(other["verified"])) == (0, True)
    lines = command.history("travel")
    assert [(line["operation"], line["error_kind"]) for line in lines] == [
        ("verify", "different"),
        ("disk_sync", None),
        ("disk_sync", None),
        ("verify", None),
    ]
    assert [line["changed"] for line in lines] == [False, True, False, False]
    assert {line["ptuuid"] for line in lines} == {FIRST}
    assert [pair["bytes_written"] for pair in lines[1]["partitions"]] == [MIB, 2 * MIB]
    shown = command.run("history", FIRST).stdout.splitlines()
    assert [line.split()[4] for line in shown if line.startswith("2")] == ["verify", "disk_sync", "disk_sync", "verify"]
    metrics = (tmp_path / "blksync_travel.prom").read_text()
    assert 'blksync_job_good{job="travel"} 1.0\n' in metrics
    assert f'blksync_disk_complete{{job="travel",disk="{FIRST}"}} 1.0\n' in metrics
    assert f'blksync_disk_complete{{job="travel",disk="{NONE}"}} 0.0\n' in metrics


def test_every_disk_that_is_plugged_in_gets_its_copy(disks: Disks, command: Command) -> None:
    command.put_job("travel", SOURCE, FIRST, SECOND, NONE)
    with PartitionedDisk(SECOND, SIZES, gap=8192) as second:
        result = command.json("sync", "travel")
        assert [run["identifier"] for run in result["results"]] == [FIRST, SECOND]
        assert result["changed"]
        assert_equal(disks[0], disks[1])
        assert_equal(disks[0], second)
        assert [run["changed"] for run in command.json("verify", "travel")["results"]] == [False, False]
    assert [line["identifier"] for line in command.history("travel")] == [FIRST, SECOND, FIRST, SECOND]


def test_by_options(disks: Disks, command: Command) -> None:
    pair = ["--source", SOURCE, "--target", FIRST, "--partitions", "2", "--engine", "native"]
    before = content(disks[1].partition(1))
    assert command.json("sync", *pair, "--check")["results"][0]["bytes_written"] == 2 * MIB
    result = command.json("sync", *pair, "--yes", "--verify", "full", "--quiesce", "none")
    run = result["results"][0]
    assert (result["job"], result["check"], run["error"], run["changed"]) == (None, False, None, True)
    assert [entry["number"] for entry in run["partitions"]] == [2]
    assert run["partitions"][0]["verified"] == {"mode": "full", "bytes_read": 24 * MIB}
    assert content(disks[1].partition(1)) == before
    (disk,) = command.json("status")["other_disks"]
    assert (disk["ptuuid"], disk["state"], bool(disk["verified"])) == (FIRST, "complete", True)


def test_an_absent_disk(disks: Disks, command: Command) -> None:
    command.put_job("skip", SOURCE, NONE)
    command.put_job("fail", SOURCE, NONE, when_absent="fail")
    assert "no backup disk is plugged in" in command.run("sync", "skip").stdout
    assert command.json("sync", "skip")["results"] == []
    command.run("sync", "fail", code=ABSENT)
    command.run("verify", "skip", code=ABSENT)
    shown = command.run("sync", "--source", SOURCE, "--target", NONE, "--yes", code=ABSENT).stderr
    assert f"No disk has the PTUUID {NONE}" in shown
    assert disks[0].path in shown
    command.run("sync", "--source", NONE, "--target", FIRST, "--yes", code=ERROR)
    assert command.history("skip") == []


def test_another_disk_with_the_same_identifier_is_left_alone(disks: Disks, command: Command) -> None:
    command.put_job("travel", SOURCE)
    path = command.config / "travel.json"
    job = json.loads(path.read_text())
    path.write_text(json.dumps({**job, "targets": [{"identifier": FIRST, "serial": "S6XNNS0T"}]}))
    before = content(disks[1].partition(2))
    done = command.run("sync", "travel")
    assert "no backup disk is plugged in" in done.stdout
    assert "is not the disk with serial S6XNNS0T" in done.stderr
    assert content(disks[1].partition(2)) == before


def test_refusals_are_told_one_a_line_and_in_the_history(disks: Disks, command: Command) -> None:
    command.put_job("travel", SOURCE, FIRST, partitions=[1, 7], protected=[FIRST])
    shown = command.run("sync", "travel", code=ERROR).stderr.splitlines()
    assert shown[0] == "blksync: refused, nothing was written:"
    reasons = [line for line in shown if line.startswith("blksync: - ")]
    assert len(reasons) == 3
    assert any("is protected" in line for line in reasons)
    error = command.json("sync", "travel", code=ERROR)["results"][0]["error"]
    assert error["kind"] == "refused"
    assert [refusal["code"] for refusal in error["refusals"]].count("partition_missing") == 2
    assert [line["error_kind"] for line in command.history("travel")] == ["refused", "refused"]
    assert command.states(code=NOT_GOOD) == ["never"]


def test_disks(disks: Disks, command: Command) -> None:
    printed = command.run("disks").stdout
    assert re.search(rf"^{disks[0].path} +\d+\.\d MiB +{SOURCE} ", printed, re.MULTILINE)
    listed = {disk["ptuuid"]: disk for disk in command.json("disks")["disks"]}
    assert [partition["size"] for partition in listed[SOURCE]["partitions"]] == [8 * MIB, 24 * MIB]


def test_a_reader_of_the_table_may_leave(command: Command) -> None:
    piped = "%s | head -1 >/dev/null; exit ${PIPESTATUS[0]}" % shlex.join(command.argv("disks"))
    done = subprocess.run(["bash", "-c", piped], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (OK, "")


def test_nothing_is_left_to_restore(command: Command) -> None:
    assert "Nothing is left to restore" in command.run("restore-state").stdout


def test_the_look_of_a_sync_in_a_terminal(disks: Disks, command: Command) -> None:
    command.put_job("travel", SOURCE, FIRST)
    with InTerminal(command.argv("sync", "travel")) as terminal:
        assert terminal.end() == OK
    bars = [line for line in terminal.seen.split("\r\n") if "[####" in line]
    # Blanks cover the rest of a longer picture before.
    assert [line.rstrip()[-len("0:00 left") :] for line in bars] == ["0:00 left", "0:00 left"]
    last = [line.rsplit("\r", 1)[1] for line in bars]
    assert last[0].startswith("partition 1 [########################] 100%  8.0 MiB of 8.0 MiB, ")
    assert "2.0 MiB changed" in last[1]
    assert all(len(picture) < 120 for line in bars for picture in line.split("\r"))
    # What follows the bars begins on a line of its own.
    assert terminal.seen.split("\r\n")[len(bars)].startswith(disks[0].path)
    assert terminal.seen.endswith("The backup disk is complete and can be disconnected.\r\n")


def test_no_bar_without_a_terminal(disks: Disks, command: Command) -> None:
    done = command.run("sync", "--source", SOURCE, "--target", FIRST, "--yes")
    assert done.stderr == ""
    assert "\r" not in done.stdout


def test_ctrl_c_is_safe(command: Command) -> None:
    large = (1024 * MIB // SECTOR,)
    with PartitionedDisk(SOURCE, large) as source, PartitionedDisk(FIRST, large):
        fill(source.partition(1), length=MIB)
        command.put_job("travel", SOURCE, FIRST, partitions=[1])
        with InTerminal(command.argv("sync", "travel")) as terminal:
            terminal.read_until("partition 1 [")
            terminal.press(b"\x03")
            assert terminal.end() == ERROR
    assert "partition 1: not finished: " in terminal.seen
    assert "blksync: Ended by SIGINT." in terminal.seen
    assert "can be disconnected" not in terminal.seen
    assert [line["error_kind"] for line in command.history("travel")] == ["cancelled"]


def test_a_killed_run_shows_in_status(disks: Disks, command: Command) -> None:
    command.put_job("travel", SOURCE, FIRST)
    with InTerminal(command.argv("sync", "travel")) as terminal:
        terminal.read_until("partition 1 ")
        terminal.process.send_signal(signal.SIGKILL)
        terminal.end()
    assert command.states(code=NOT_GOOD) == ["interrupted"]
    command.run("sync", "travel")
    assert [line["error_kind"] for line in command.history("travel")] == ["interrupted", None]
    assert command.states() == ["complete"]
    assert_equal(*disks)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path) as pair:
        yield pair


def test_history_and_log_on_the_very_file_system_that_is_frozen(mounted: MountedPair, tmp_path: Path) -> None:
    """Neither the progress nor the history may wait for a file system that waits for them."""
    tmp_path.chmod(0o755)
    command = Command(tmp_path, state=mounted.root / "state")
    command.put_job(
        "travel", mounted.source.identifier, mounted.target.identifier, quiesce="freeze", quiesce_timeout=10
    )
    with open(mounted.root / "log", "w") as log:
        eager = "import blksync.cli.progress_bar as t, sys, blksync.cli as c; t.LINE_EVERY = 0.0; sys.exit(c.main())"
        argv = [sys.executable, "-c", eager, *command.argv("sync", "travel")[3:]]
        done = subprocess.run(argv, env=ENVIRONMENT, stdout=log, stderr=log, timeout=PATIENCE, check=False)
    printed = (mounted.root / "log").read_text()
    assert done.returncode == OK, printed
    assert f"{mounted.root} frozen for" in printed
    assert "left\n" not in printed
    assert [line["error_kind"] for line in command.history("travel")] == [None]


def test_a_terminal_that_takes_nothing_more_does_not_hold_up_a_frozen_source(
    mounted: MountedPair, tmp_path: Path
) -> None:
    """Nobody reads the terminal, and it is full before the sync begins."""
    tmp_path.chmod(0o755)
    command = Command(tmp_path)
    command.put_job("travel", mounted.source.identifier, mounted.target.identifier, quiesce="freeze")
    fill_up = "import os; os.set_blocking(2, False)\ntry:\n  while True: os.write(2, b'x' * 1000)\nexcept OSError: pass"
    argv = command.argv("sync", "travel")
    script = f'{sys.executable} -c "$1"; shift; exec "$@" >/dev/null'
    with InTerminal(["sh", "-c", script, "sh", fill_up, *argv]) as terminal:
        terminal.process.wait(PATIENCE)
        assert terminal.process.returncode == OK
    assert [line["error_kind"] for line in command.history("travel")] == [None]


def test_verify_says_when_the_source_is_in_use(mounted: MountedPair, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = Command(tmp_path)
    command.put_job("travel", mounted.source.identifier, mounted.target.identifier)
    assert "(the source is in use: it has changed since" in command.run("verify", "travel", code=ERROR).stdout


def test_what_live_and_used_came_to_is_told(mounted: MountedPair, tmp_path: Path) -> None:
    command = Command(tmp_path)
    tmp_path.chmod(0o755)
    pair = ["--source", mounted.source.identifier, "--target", mounted.target.identifier]
    shown = command.run("sync", *pair, "--yes", "--quiesce", "live", "--scope", "used").stdout
    live = "copied live: frozen for" if "tracefs" in Path("/proc/mounts").read_text() else "not copied live: tracefs"
    assert shown.count(f"    {live}") == 2
    assert shown.count("    scope used: ") == 2
    assert shown.count(" free, not looked at\n") == 2
    mounted.assert_copied()
    command.put_job("travel", mounted.source.identifier, mounted.target.identifier, scope="used")
    assert command.run("verify", "travel", code=ERROR).stdout.count("    scope used: ") == 2


def test_what_cannot_be_copied_live_is_frozen_for_the_whole_copy_unless_that_is_unwanted(
    mounted: MountedPair, tmp_path: Path
) -> None:
    command = Command(tmp_path)
    tmp_path.chmod(0o755)
    reason = "tracefs is not mounted"
    both = (mounted.source.identifier, mounted.target.identifier)
    command.put_job("strict", *both, quiesce="live", quiesce_fallback=False)
    command.put_job("travel", *both, quiesce="live")
    there = tracefs.is_mounted()
    tracefs.unmount()
    try:
        assert f"cannot be copied while it is in use: {reason}." in command.run("sync", "strict", code=ERROR).stderr
        assert f"    not copied live: {reason}\n" in command.run("sync", "travel").stdout
    finally:
        if there:
            tracefs.mount()
    mounted.assert_copied()
