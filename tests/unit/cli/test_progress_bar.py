# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a running sync, and that drawing it never waits."""

from __future__ import annotations

import os
import pty
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.cli.nonblocking import NonblockingWriter, writer
from blksync.cli.progress_bar import BarProgress, LineProgress, View, bar_text, line_text, watch
from blksync.discovery.model import Partition
from blksync.quiesce.plan import QuiescePlan
from blksync.sync.plan import Pair

MIB = 1024 * 1024
PARTITION = Partition(2, "sda2", "/dev/sda2", "8:2", 0, 100 * MIB)
PAIR = Pair(2, PARTITION, PARTITION, QuiescePlan(device="/dev/sda2"))


class FakeWriter(NonblockingWriter):
    """Keeps what is written."""

    def __init__(self, may_freeze: bool = False) -> None:
        self.may_freeze = may_freeze
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.written.append(text)

    def columns(self) -> int:
        return 120


class FakeClock:
    """Stands still until it may go."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_bar() -> None:
    view = View(number=2, size=100 * MIB, compared=25 * MIB, changed=3 * MIB, seconds=5.0)
    assert bar_text(view, 120) == (
        "partition 2 [######..................]  25%  25.0 MiB of 100.0 MiB, 5.0 MiB/s, 3.0 MiB changed, 0:15 left"
    )
    assert bar_text(view, 90).startswith("partition 2   25%  25.0 MiB of")
    assert line_text(view) == "partition 2: 25%, 25.0 MiB of 100.0 MiB, 5.0 MiB/s, 3.0 MiB changed, 0:15 left"


def test_bar_of_the_first_moment_and_of_reading_back() -> None:
    first = bar_text(View(2, 100 * MIB, 0, 0, 0), 120)
    assert "  0%  0 bytes of 100.0 MiB, 0 bytes/s, 0 bytes changed, ? left" in first
    view = View(2, 100 * MIB, 100 * MIB, 0, 9.0, reading_back=5 * MIB)
    assert bar_text(view, 120) == "partition 2  reading back  5.0 MiB"
    assert line_text(view) == "partition 2: reading back, 5.0 MiB"


@given(st.integers(0, 2**50), st.floats(0, 1), st.floats(0, 1e7), st.integers(2, 300))
def test_the_bar_fits_every_terminal(size: int, share: float, seconds: float, columns: int) -> None:
    compared = int(size * share)
    text = bar_text(View(1, size, compared, compared, seconds), columns)
    assert len(text) < columns
    assert text.isprintable()


def test_a_bar_is_drawn_five_times_a_second_at_most_and_ends_with_a_line() -> None:
    out, clock = FakeWriter(), FakeClock()
    progress = BarProgress(out, clock)
    progress.pair_started(PAIR, "native")
    for step in range(100):
        clock.seconds += 0.01
        progress.advanced(PAIR, step * MIB, 0)
    progress.pair_finished(PAIR, 0, 0)
    assert len(out.written) <= 1 + 5 + 2
    assert out.written[-1] == "\n"
    assert "100%" in out.written[-2]
    progress.close()
    assert out.written[-1] == "\n"
    assert out.written[-2] != "\n"


def test_a_shorter_picture_covers_a_longer_one() -> None:
    out, clock = FakeWriter(), FakeClock()
    progress = BarProgress(out, clock)
    progress.pair_started(PAIR, "native")
    clock.seconds += 1
    progress.verifying(PAIR, MIB)
    assert len(out.written[1]) == len(out.written[0])
    progress.close()
    assert out.written[-1] == "\n"


def test_a_line_every_ten_seconds_and_none_for_less() -> None:
    out, clock = FakeWriter(), FakeClock()
    progress = LineProgress(out, clock)
    progress.pair_started(PAIR, "native")
    for step in range(100):
        clock.seconds += 0.25
        progress.advanced(PAIR, step * MIB, 0)
    assert len(out.written) == 2
    assert all(text.startswith("partition 2: ") and text.endswith(" left\n") for text in out.written)
    quick = FakeWriter()
    LineProgress(quick, clock).advanced(PAIR, MIB, 0)
    assert quick.written == []


def test_a_log_file_is_left_alone_while_the_source_may_be_frozen() -> None:
    out, clock = FakeWriter(may_freeze=True), FakeClock()
    progress = LineProgress(out, clock)
    clock.seconds += 60
    progress.advanced(PAIR, MIB, 0)
    assert out.written == []
    progress.verifying(PAIR, MIB)
    assert len(out.written) == 1


def test_a_full_pipe_does_not_hold_us_up() -> None:
    reader, end = os.pipe()
    with writer(end) as out:
        for _turn in range(10_000):
            out.write("x" * 100 + "\n")
    assert os.get_blocking(end)
    os.close(end)
    assert len(os.read(reader, 1 << 20)) > 4096
    os.close(reader)


def test_a_full_socket_does_not_hold_us_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with writer(ours.fileno()) as out:
            for _turn in range(10_000):
                out.write("x" * 100 + "\n")
        assert ours.getblocking()
        theirs.close()
        with writer(ours.fileno()) as out:
            out.write("nobody listens\n")


def test_a_terminal_that_hangs_does_not_hold_us_up() -> None:
    master, terminal = pty.openpty()
    with writer(terminal) as out:
        assert out.is_terminal
        assert not out.may_freeze
        for _turn in range(10_000):
            out.write("\r" + "x" * 100)
        os.close(master)
        out.write("gone")
    os.close(terminal)


def test_a_regular_file_is_known_as_one(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as file, writer(file.fileno()) as out:
        assert out.may_freeze
        out.write("line\n")
    assert (tmp_path / "log").read_text() == "line\n"


def test_nothing_stays_open() -> None:
    before = os.listdir("/proc/self/fd")
    with watch():
        pass
    assert os.listdir("/proc/self/fd") == before


def test_ctrl_z_is_ignored_while_something_may_be_frozen() -> None:
    before = signal.getsignal(signal.SIGTSTP)
    with watch():
        assert signal.getsignal(signal.SIGTSTP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTTOU) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTSTP) == before


def test_a_descriptor_that_is_closed_is_an_error_of_the_caller() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        NonblockingWriter(1_000_000)
