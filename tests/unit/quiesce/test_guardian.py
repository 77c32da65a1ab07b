# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the guardian where processes are short, or nobody waits for them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from blksync.errors import QuiesceError
from blksync.quiesce import guardian
from blksync.quiesce.channel import Channel, ChannelClosedError
from blksync.quiesce.messages import Failed, Hello, Message, Prepare, Records, Restored
from blksync.quiesce.runner import Execution
from blksync.system.processes import identify, is_alive
from tests.support.mounted import wait_for


def test_no_process_can_be_forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", fail)
    with pytest.raises(QuiesceError, match="Cannot start the guardian process"):
        guardian.start("a test", str(tmp_path))


def test_sigchld_is_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        channel, pid, _notes = guardian.start("a test", str(tmp_path))
    finally:
        signal.signal(signal.SIGCHLD, before)
    process = identify(pid)
    channel.close()
    wait_for(lambda: not is_alive(process))


def answer_of(channel: Channel) -> Message:
    """The next message but for the records of what is done."""
    while True:
        message = channel.receive(5)
        assert message is not None
        if not isinstance(message, Records):
            return message


@pytest.mark.parametrize("forks", [0, 1])
def test_only_the_first_process_can_be_forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, forks: int) -> None:
    left, fork = [forks], os.fork

    def fail_at_last() -> int:
        left[0] -= 1
        if left[0] < 0:
            raise BlockingIOError(errno.EAGAIN, "no more processes")
        return fork()

    monkeypatch.setattr(os, "fork", fail_at_last)
    with pytest.raises(QuiesceError, match=r"Cannot start the guardian process: .*no more processes"):
        guardian.start("a test", str(tmp_path))


@pytest.mark.parametrize("name", ["socket.socketpair", "os.pipe", "os.setsid"])
def test_what_the_guardian_lacks_to_start_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(name, fail)
    with pytest.raises(QuiesceError, match=r"Cannot start the guardian process: .*Too many open files") as caught:
        guardian.start("a test", str(tmp_path))
    assert "short of memory" in caught.value.hint


@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyError("odd"), "KeyError: 'odd'"), (MemoryError(), "MemoryError"), (OSError(5, "no", "/x"), "'/x'")],
)
def test_a_failure_of_the_guardian_is_reported_and_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, words: str
) -> None:
    def fail(_execution: Execution, _steps: object) -> None:
        raise error

    monkeypatch.setattr(Execution, "prepare", fail)
    channel, pid, _notes = guardian.start("a test", str(tmp_path))
    process = identify(pid)
    channel.send(Prepare(()))
    answer = answer_of(channel)
    assert isinstance(answer, Failed)
    assert answer.kind == "quiesce"
    assert words in answer.message
    wait_for(lambda: not is_alive(process))
    channel.close()


def test_a_malformed_message_ends_the_guardian_with_a_reason(tmp_path: Path) -> None:
    channel, _pid, _notes = guardian.start("a test", str(tmp_path))
    channel._socket.sendall(b"{}\n")
    answer = answer_of(channel)
    assert isinstance(answer, Restored)
    assert answer.reason.startswith("the guardian process failed (MalformedMessageError")
    with pytest.raises(ChannelClosedError):
        channel.receive(5)
    channel.close()


def test_what_is_no_question_ends_the_guardian_with_an_error(tmp_path: Path) -> None:
    channel, _pid, _notes = guardian.start("a test", str(tmp_path))
    channel.send(Hello(1, ()))
    answer = answer_of(channel)
    assert isinstance(answer, Failed)
    assert "nothing to ask for" in answer.message
    with pytest.raises(ChannelClosedError):
        channel.receive(5)
    channel.close()
