# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine around a program that misbehaves: fakes on image files, which need no root."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blksync.engines.base import CopyOptions, Engine, Outcome
from blksync.engines.blocksync_fast.buffer import Geometry, geometry
from blksync.engines.blocksync_fast.engine import BlocksyncFastEngine
from blksync.engines.blocksync_fast.output import Summary
from blksync.engines.blocksync_fast.passes import FirstPass, RepairedTarget, SecondPass
from blksync.engines.monitor import Monitor
from blksync.errors import CancelledError, EngineError
from blksync.ranges import Range, whole
from blksync.system.device import Device, allocate, claim_target, open_source
from tests.support.blocksync_program import COPY, FakeProgram, wait_until_gone
from tests.support.lost_run import lost_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 4096
BLOCKS = 8
SIZE = BLOCKS * BLOCK


class Recorder(Monitor):
    """Remembers what is reported, and raises ``error`` once ``condition`` exists."""

    def __init__(self, error: Exception | None = None, condition: Path | None = None) -> None:
        self.reported: list[tuple[int, int]] = []
        self._error, self._condition = error, condition

    def advanced(self, compared: int, changed: int) -> None:
        self.reported.append((compared, changed))
        if self._error and (self._condition is None or self._condition.exists()):
            raise self._error


class Pair:
    """Two image files of random content, open as the engine gets them."""

    def __init__(self, directory: Path, size: int = SIZE) -> None:
        self.source_path, self.target_path = directory / "source.img", directory / "target.img"
        self.source_path.write_bytes(os.urandom(size))
        self.target_path.write_bytes(os.urandom(size))
        self.size = size
        self.source: Device = open_source(str(self.source_path))
        self.target: Device = claim_target(str(self.target_path))

    def copy(self, engine: Engine, monitor: Monitor | None = None) -> Outcome:
        return engine.copy(self.source, self.target, whole(self.size), monitor or Monitor(), CopyOptions())

    def is_equal(self) -> bool:
        return self.source_path.read_bytes() == self.target_path.read_bytes()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        made = Pair(tmp_path)
        stack.enter_context(made.source)
        stack.enter_context(made.target)
        yield made


def engine_of(directory: Path, body: str, version: str = "1.0.7") -> BlocksyncFastEngine:
    return BlocksyncFastEngine(str(FakeProgram(directory, body).path), version)


def summary(blocks: int, size: int | None = None, total: int = BLOCKS, size_total: int = SIZE) -> str:
    size = blocks * BLOCK if size is None else size
    return 'echo "Updated: %d/%d blocks, %d/%d bytes."\n' % (blocks, total, size, size_total)


def test_a_program_that_does_its_work(tmp_path: Path, pair: Pair) -> None:
    progress = r'printf "\rProgress: 50%%"; printf "\rProgress: 100%%\n"; '
    monitor = Recorder()
    outcome = pair.copy(engine_of(tmp_path, COPY + progress + summary(8)), monitor)
    assert pair.is_equal()
    assert (outcome.block, outcome.blocks_total) == (BLOCK, BLOCKS)
    assert (outcome.blocks_changed, outcome.bytes_written) == (8, SIZE)
    assert outcome.bytes_read == 4 * SIZE
    assert outcome.notes == []
    assert monitor.reported == sorted(monitor.reported)
    assert (SIZE // 2, 0) in monitor.reported
    assert monitor.reported[-1] == (SIZE, SIZE)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("exit 0", "without its summary"),
        ('echo "Synchronised: all is well"', "without its summary"),
        (r'printf "\rProgress: 100%%\n"', "without its summary"),
        (r'printf "\rProgress: 57%%"', "without its summary"),
        (summary(8, total=9), "do not fit"),
        (summary(8).replace("Updated", "Copied"), "did not compare"),
        (summary(8) + 'echo "fake: not so well" >&2', 'complained. Its last words: "fake: not so well"'),
        (summary(8) + "exit 1", "ended with status 1"),
        ('echo "fake: no such thing: $dst" >&2; exit 3', "status 3. Its last words: .fake: no such thing"),
        (summary(8) + "kill -KILL $$", "was killed by SIGKILL"),
        ("kill -BUS $$", "was killed by SIGBUS"),
        ("dd if=/dev/zero bs=65536 count=64 status=none", "without its summary"),
    ],
    ids=lambda value: None if "echo" not in value else value.split('"')[1],
)
def test_a_program_that_misbehaves(tmp_path: Path, pair: Pair, body: str, complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint) as caught:
        pair.copy(engine_of(tmp_path, COPY + body))
    assert "unknown state" in caught.value.hint


def test_the_users_paths_stand_in_the_programs_words(tmp_path: Path, pair: Pair) -> None:
    body = """echo "fake: cannot write '$dst', having read '$src'" >&2; exit 1"""
    with pytest.raises(EngineError) as caught:
        pair.copy(engine_of(tmp_path, body))
    assert "cannot write %s, having read %s" % (pair.target_path, pair.source_path) in caught.value.message


def test_progress_is_told_over_both_passes() -> None:
    monitor = Recorder()
    FirstPass(monitor, 1000)("\rProgress: 50%")
    SecondPass(monitor, 1000, Summary(1, 10)).advanced(500, 5)
    assert monitor.reported == [(250, 0), (750, 15)]


def test_only_repairs_in_the_last_window_are_remembered(pair: Pair) -> None:
    repaired = RepairedTarget(pair.target, Geometry(BLOCK, 3 * BLOCK, BLOCKS, False))
    repaired.write(allocate(5 * BLOCK), 0)
    repaired.write(allocate(3 * BLOCK), 5 * BLOCK)
    assert repaired.last_window == [6, 7]
    assert pair.target_path.read_bytes() == bytes(SIZE)


def test_a_program_that_lies_is_corrected_and_counted(tmp_path: Path, pair: Pair) -> None:
    outcome = pair.copy(engine_of(tmp_path, summary(0)))
    assert pair.is_equal()
    assert (outcome.blocks_changed, outcome.bytes_written) == (8, SIZE)
    assert outcome.notes == ["Wrote 32768 bytes (blocks: 8) that blocksync-fast had left different from the source."]


def test_a_version_that_is_not_known_is_used_and_noted(tmp_path: Path, pair: Pair) -> None:
    engine = engine_of(tmp_path, COPY + summary(8), "1.0.9")
    outcome = pair.copy(engine)
    assert pair.is_equal()
    assert outcome.notes == ["blocksync-fast 1.0.9 is not a version known here; all that it wrote was checked."]


def test_the_evidence_covers_what_was_asked_for(tmp_path: Path, pair: Pair) -> None:
    engine = engine_of(tmp_path, COPY + summary(8))
    outcome = engine.copy(pair.source, pair.target, whole(SIZE), Monitor(), CopyOptions(verify="full"))
    assert outcome.write_log
    assert outcome.write_log.verify(pair.target, Monitor()) == SIZE


@pytest.mark.parametrize("body", ["", "exec >&- 2>&-\n"], ids=["silent", "outputs closed"])
def test_cancelling_a_program_that_hangs_kills_it(tmp_path: Path, pair: Pair, body: str) -> None:
    started = tmp_path / "pid"
    body += 'echo $$ > "%s.new"; mv "%s.new" "%s"; exec sleep 600' % (started, started, started)
    with pytest.raises(CancelledError, match="enough"):
        pair.copy(engine_of(tmp_path, body), Recorder(CancelledError("enough"), started))
    with pytest.raises(ProcessLookupError):  # not even a zombie
        os.kill(int(started.read_text()), 0)


def test_a_cancellation_that_also_killed_the_program_is_a_cancellation(tmp_path: Path, pair: Pair) -> None:
    done = tmp_path / "done"
    engine = engine_of(tmp_path, ': > "%s"; kill -INT $$' % done)
    with pytest.raises(CancelledError):
        pair.copy(engine, Recorder(CancelledError("Ctrl-C"), done))


def test_a_process_that_the_program_leaves_behind_holds_nothing_up(tmp_path: Path, pair: Pair) -> None:
    pid = tmp_path / "pid"
    pair.copy(engine_of(tmp_path, COPY + 'sleep 600 & echo $! > "%s"\n' % pid + summary(8)))
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert pair.is_equal()


@pytest.fixture
def terminal() -> Iterator[None]:
    """A standard input that is not /dev/null."""
    saved = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    yield
    os.dup2(saved, 0)
    for descriptor in (saved, reading, writing):
        os.close(descriptor)


@pytest.mark.usefixtures("terminal")
def test_what_the_program_inherits(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    facts = tmp_path / "facts"
    # Asked first and written later: the shell's own redirections are not what is looked for.
    body = "links=$(readlink /proc/$$/cwd /proc/$$/fd/[012] /proc/$$/fd/[3-9] /proc/$$/fd/??)\n"
    body += 'echo "$LC_ALL $links" > "%s"\n' % facts
    with (tmp_path / "other").open("wb") as other:
        os.set_inheritable(other.fileno(), True)
        engine = engine_of(tmp_path, body + COPY + summary(8))
        pair.copy(engine)
    locale, directory, stdin, stdout, stderr, *others = facts.read_text().split()
    assert (locale, directory, stdin, stdout[:5], stderr[:5]) == ("C", "/", "/dev/null", "pipe:", "pipe:")
    others.remove(engine.path)  # the shell reads its script
    assert sorted(link for link in others if not link.startswith("pipe:")) == [
        str(pair.source_path),
        str(pair.target_path),
    ]


KILLED = """
import sys
from blksync.engines.blocksync_fast.process import run_watched
run_watched(sys.argv[1:], (), lambda text: print(text, flush=True) if text else None)
"""


def test_the_program_dies_with_the_process_that_started_it() -> None:
    core = os.pathsep.join(path for path in sys.path if path)
    argv = [sys.executable, "-c", KILLED, "/bin/sh", "-c", "echo $$; exec sleep 600"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": core}) as python:
        assert python.stdout
        pid = int(python.stdout.readline())
        os.kill(pid, 0)
        python.kill()
        assert wait_until_gone(pid)


def test_a_program_that_cannot_be_started(tmp_path: Path, pair: Pair) -> None:
    engine = engine_of(tmp_path, COPY)
    os.unlink(engine.path)
    with pytest.raises(EngineError, match=r"Cannot start .*blocksync-fast"):
        pair.copy(engine)


def test_a_part_of_a_pair_is_refused(tmp_path: Path, pair: Pair) -> None:
    engine = engine_of(tmp_path, "exit 1")
    for ranges in [(), (Range(0, BLOCK),), (Range(0, BLOCK), Range(BLOCK, SIZE - BLOCK))]:
        with pytest.raises(EngineError, match="whole pair only"):
            engine.copy(pair.source, pair.target, ranges, Monitor(), CopyOptions())
        with pytest.raises(EngineError, match="whole pair only"):
            engine.compare(pair.source, pair.target, ranges, Monitor(), CopyOptions())


def test_sizes_that_differ_are_refused(tmp_path: Path, pair: Pair) -> None:
    longer = tmp_path / "longer.img"
    longer.write_bytes(bytes(SIZE + 1))
    engine = engine_of(tmp_path, "exit 1")
    with claim_target(str(longer)) as target, pytest.raises(EngineError, match=r"has 32768 bytes and .* has 32769"):
        engine.copy(pair.source, target, whole(SIZE), Monitor(), CopyOptions())


def test_an_empty_pair_is_done(tmp_path: Path) -> None:
    empty = Pair(tmp_path, 0)
    with empty.source, empty.target:
        assert empty.copy(engine_of(tmp_path, "exit 1")) == Outcome(block=BLOCK, blocks_total=0)


def test_the_prediction_does_not_run_the_program(tmp_path: Path, pair: Pair) -> None:
    engine = engine_of(tmp_path, ': > "%s/ran"' % tmp_path)
    with open_source(str(pair.target_path)) as target:
        outcome = engine.compare(pair.source, target, whole(SIZE), Monitor(), CopyOptions())
    assert (outcome.block, outcome.blocks_changed, outcome.bytes_written) == (BLOCK, 8, SIZE)
    assert not (tmp_path / "ran").exists()


def test_a_lost_run_is_written_and_counted_once(tmp_path: Path) -> None:
    size = 2 * BLOCK - 100  # no safe buffer
    plan = geometry(size, BLOCK)
    lost = lost_bytes(size, BLOCK, plan.buffer, {0})
    assert lost == range(BLOCK - 100)
    pair = Pair(tmp_path, size)
    with pair.source, pair.target:
        content = pair.source_path.read_bytes()
        pair.target_path.write_bytes(bytes(BLOCK) + content[BLOCK:])
        outcome = pair.copy(engine_of(tmp_path, summary(1, total=2, size_total=size)))
    assert pair.is_equal()
    assert (outcome.blocks_changed, outcome.bytes_written) == (1, BLOCK)
    assert outcome.notes == ["Wrote the block at byte 0, which blocksync-fast counted but did not write."]
