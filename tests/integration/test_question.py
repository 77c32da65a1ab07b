# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The question of blksync sync before it overwrites a disk, in a real terminal and without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.blocks import assert_equal, content, fill
from tests.support.command import Command, InTerminal
from tests.support.disks import MIB, SECTOR, PartitionedDisk

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")
SIZES = (4 * MIB // SECTOR, 8 * MIB // SECTOR)
UNIQUE = "%06x" % (os.getpid() & 0xFFFFFF)  # other disks of the machine may be there for other tests
SOURCE, TARGET = ("%s%s" % (start, UNIQUE) for start in ("d0", "d1"))
PAIR = ("sync", "--source", SOURCE, "--target", TARGET, "--partitions", "2")
OK, ERROR, USAGE, _ABSENT, NOT_GOOD = range(5)
ASKED = "Type yes: "
Disks = tuple[PartitionedDisk, PartitionedDisk]


@pytest.fixture
def disks() -> Iterator[Disks]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        fill(source.partition(2), length=MIB)
        yield source, target


@pytest.fixture
def command(tmp_path: Path) -> Command:
    tmp_path.chmod(0o755)
    return Command(tmp_path)


def test_a_yes_carries_out_the_plan_that_was_shown(disks: Disks, command: Command) -> None:
    with InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until(ASKED)
        assert re.search(rf"main disk +{disks[0].path} +\d+\.\d MiB +{SOURCE} ", terminal.seen)
        assert re.search(rf"backup disk +{disks[1].path} +\d+\.\d MiB +{TARGET} ", terminal.seen)
        assert f"On {disks[1].path} at most 8.0 MiB are overwritten:\r\n  partition 2: 8.0 MiB\r\n" in terminal.seen
        assert "not copied:\r\n  partition 1 (4.0 MiB)\r\n" in terminal.seen
        terminal.press(b"yes\n")
        assert terminal.end() == OK
    assert content(disks[0].partition(2)) == content(disks[1].partition(2))
    assert "partition 2: 256 of 2048 blocks differed" in terminal.seen


@pytest.mark.parametrize("keys", [b"y\n", b"\n", b"no\n", b"\x03", b"\x04"], ids=["y", "enter", "no", "ctrl-c", "end"])
def test_all_else_writes_nothing(keys: bytes, disks: Disks, command: Command) -> None:
    before = content(disks[1].partition(2))
    with InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until(ASKED)
        terminal.press(keys)
        assert terminal.end() == ERROR
    assert terminal.seen.endswith("\r\nblksync: Nothing was written.\r\n")
    assert content(disks[1].partition(2)) == before
    assert not (command.state / "disks").exists()


def test_nothing_is_locked_while_the_question_waits(disks: Disks, command: Command) -> None:
    with InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until(ASKED)
        command.run(*PAIR, "--yes")
        terminal.press(b"yes\n")
        assert terminal.end() == OK
    assert "partition 2: unchanged" in terminal.seen


def test_without_a_terminal_a_yes_is_required(command: Command) -> None:
    refused = command.run(*PAIR, code=USAGE)  # before it finds out that there are no such disks
    assert refused.stderr.splitlines()[0].endswith("nobody can be asked whether to overwrite the backup disk.")
    assert refused.stdout == ""


def test_with_the_result_in_a_pipe_it_asks_all_the_same(disks: Disks, command: Command) -> None:
    script = '"$@" > ' + str(command.config / "result")
    with InTerminal(["sh", "-c", script, "sh", *command.argv(*PAIR, "--json")]) as terminal:
        terminal.read_until(ASKED)
        terminal.press(b"yes\n")
        assert terminal.end() == OK
    assert json.loads((command.config / "result").read_text())["changed"]


@pytest.mark.usefixtures("disks")
def test_a_check_and_a_job_do_not_ask(command: Command) -> None:
    command.put_job("travel", SOURCE, TARGET)
    for arguments in ((*PAIR, "--check"), (*PAIR, "--yes"), ("sync", "travel"), ("sync", "travel", "--yes")):
        with InTerminal(command.argv(*arguments)) as terminal:
            assert terminal.end() == OK
        assert ASKED not in terminal.seen


def test_another_disk_in_the_place_of_the_first_is_not_written(disks: Disks, command: Command) -> None:
    """It has the same identifier, size and partitions, and most often the same name."""
    with ExitStack() as held, InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until(ASKED)
        disks[1].close()
        other = held.enter_context(PartitionedDisk(TARGET, SIZES, gap=4096))
        terminal.press(b"yes\n")
        assert terminal.end() == ERROR
        assert not any(content(other.partition(2)))
    assert "The disks or their partitions are no longer those that were shown." in terminal.seen


@pytest.fixture
def changed(disks: Disks, command: Command, tmp_path: Path) -> None:
    """The backup disk was mounted for writing since the last sync."""
    subprocess.run(["mkfs.ext4", "-qF", disks[0].partition(2)], check=True)
    command.run(*PAIR, "--yes")
    mountpoint = tmp_path / "elsewhere"
    mountpoint.mkdir()
    subprocess.run(["mount", disks[1].partition(2), mountpoint], check=True)
    (mountpoint / "work").write_text("of an afternoon")
    subprocess.run(["umount", mountpoint], check=True)


@pytest.mark.usefixtures("changed")
def test_changes_of_somebody_else_are_part_of_the_question(disks: Disks, command: Command) -> None:
    refused = command.run(*PAIR, "--yes", code=ERROR).stderr
    assert "Somebody changed the backup disk" in refused
    with InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until("Discard these changes and overwrite the backup disk")
        assert f"Somebody changed the backup disk {disks[1].path}" in terminal.seen
        terminal.press(b"no\n")
        assert terminal.end() == ERROR
    assert command.json("status", code=NOT_GOOD)["other_disks"][0]["state"] == "changed_elsewhere"
    with InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until("Discard these changes")
        terminal.press(b"yes\n")
        assert terminal.end() == OK
    assert_equal(*disks)


def test_what_is_changed_while_the_question_waits_is_not_discarded(
    disks: Disks, command: Command, tmp_path: Path
) -> None:
    subprocess.run(["mkfs.ext4", "-qF", disks[0].partition(2)], check=True)
    command.run(*PAIR, "--yes")
    with InTerminal(command.argv(*PAIR)) as terminal:
        terminal.read_until(ASKED)
        subprocess.run(["mount", disks[1].partition(2), tmp_path], check=True)
        subprocess.run(["umount", tmp_path], check=True)
        terminal.press(b"yes\n")
        assert terminal.end() == ERROR
    assert "Somebody changed the backup disk" in terminal.seen
