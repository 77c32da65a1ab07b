# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel, the state file's directory, the scope request: what needs no root."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from blksync.errors import BlksyncError, RestoreError
from blksync.quiesce import systemd_scope
from blksync.quiesce.actions.freeze import Freeze
from blksync.quiesce.channel import Channel, ChannelClosedError
from blksync.quiesce.messages import Done, End
from blksync.quiesce.recovery import StateFile, restore_state
from blksync.quiesce.runner import Failure
from blksync.quiesce.step import Step, StepRecord
from blksync.system.processes import identify, is_alive
from tests.support.machines import mount

ENTRY = StepRecord(Step("freeze", "/dev/none", "8:2", "8:2", "ext4", (mount("8:2", "/mnt/none"),)), "frozen", 1.0)


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_arrive_whole_in_order_and_also_from_the_dead(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    messages = [Done("/mnt/\udcff " + "x" * 50_000), End()]
    for message in messages:
        ours.send(message)
    ours.close()
    assert theirs.has_news()
    assert [theirs.receive(1), theirs.receive(1)] == messages
    with pytest.raises(ChannelClosedError):
        theirs.receive(1)
    with pytest.raises(ChannelClosedError):
        theirs.send(End())


def test_silence_is_no_news(channels: tuple[Channel, Channel]) -> None:
    ours, _theirs = channels
    assert not ours.has_news()
    assert ours.receive(0) is None
    reader, writer = os.pipe()
    os.write(writer, b"x")
    assert ours.receive(None, [reader]) is None  # woken
    os.close(reader)
    os.close(writer)


def test_processes_are_told_apart_by_their_start() -> None:
    ours = identify(os.getpid())
    assert is_alive(ours)
    assert not is_alive({**ours, "start": "1"})
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        childs = identify(child.pid)
        child.communicate()
    assert not is_alive(childs)
    assert not is_alive(identify(child.pid))


def test_the_state_file_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    state = StateFile("copying", os.getpid(), os.getpid(), str(tmp_path / "new"))
    state.write([ENTRY])
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (run,) = restore_state(str(tmp_path / "new"), patience=0)
    assert (run.label, run.running) == ("copying", True)
    state.write([])
    assert restore_state(str(tmp_path / "new")) == []


def leave(directory: Path, *entries: StepRecord) -> Path:
    """The state file of a run whose processes are dead."""
    dead = {"pid": 1, "start": "none"}
    record = {"label": "copying", "sync": dead, "guardian": dead, "entries": [entry.to_data() for entry in entries]}
    file = directory / "quiesce-1.json"
    file.write_text(json.dumps(record))
    return file


def test_a_failure_to_restore_keeps_what_is_left_and_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = replace(ENTRY, step=replace(ENTRY.step, device="/dev/other", backing_devno="8:3", devno="8:3"))

    def undo(measure: Freeze) -> str:
        if measure.step.device == "/dev/none":
            raise RestoreError("No.", "Run: this")
        return ""

    monkeypatch.setattr(Freeze, "undo", undo)
    file = leave(tmp_path, ENTRY, other)
    (run,) = restore_state(str(tmp_path))
    assert run.failures == [Failure("No.", "Run: this", "8:2")]
    assert [action.device for action in run.actions] == ["/dev/other"]
    assert [entry["step"]["device"] for entry in json.loads(file.read_text())["entries"]] == ["/dev/none"]


@pytest.mark.parametrize("action", ["frozen", "unmounted"])
def test_what_lay_on_a_device_that_is_gone_is_reported_once(tmp_path: Path, action: str) -> None:
    step = replace(ENTRY.step, backing_devno="4095:1048575", devno="4095:1048575")  # a number that no device has
    file = leave(tmp_path, replace(ENTRY, step=step, action=action))
    (run,) = restore_state(str(tmp_path))
    (failure,) = run.failures
    assert (failure.gone, run.actions) == (True, [])
    assert "/dev/none (4095:1048575) is gone" in failure.message
    assert "mount -t ext4" in failure.hint
    assert not file.exists()
    assert restore_state(str(tmp_path)) == []


def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BlksyncError, match="not a directory"):
        restore_state(str(tmp_path / "file"))


def test_a_broken_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "quiesce-1.json").write_text("{}")
    with pytest.raises(BlksyncError, match=r"quiesce-1\.json"):
        restore_state(str(tmp_path))
    assert restore_state(str(tmp_path / "absent")) == []


def test_a_state_file_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = StateFile("copying", 1, 1, str(tmp_path / "file"))
    state.write([ENTRY])
    assert "not a directory" in state.problem
    unusable = StateFile("copying", 1, 1, str(tmp_path))
    unusable.usable = False
    unusable.write([ENTRY])
    assert not list(tmp_path.glob("quiesce-*"))
    assert "lies on the source" in unusable.problem


def test_the_scope_request_has_the_shape_of_its_signature() -> None:
    words = systemd_scope.scope_request(4711)
    assert words[1:5] == ("call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", words[4])
    assert words[5:9] == ("StartTransientUnit", "ssa(sv)a(sa(sv))", "blksync-guardian-4711.scope", "fail")
    rest, arrays = list(words[10:]), {"as": 1, "au": 1}
    for _number in range(int(words[9])):
        _name, kind = rest.pop(0), rest.pop(0)
        for _value in range(int(rest.pop(0)) if kind in arrays else 1):
            rest.pop(0)
    assert rest == ["0"]
