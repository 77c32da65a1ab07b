# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest session that is ended by a signal in the middle of a frozen, traced sync leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import leftovers, owner, tracefs
from tests.support.blocksync_program import children_of
from tests.support.disks import MIB, LoopDevice
from tests.support.waiting import PATIENCE, wait_for
from tests.tooling.paths import ROOT

pytestmark = pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4")

INI = f"""
[pytest]
pythonpath = {ROOT} {ROOT / "plugins" / "module_utils"}
markers =
    full: deep
    long: deeper
    needs(*what): needs
"""
TESTS = """
import os
from pathlib import Path

import pytest

from tests.support import owner
from tests.support.live_driver import DrivenLive
from tests.support.mixed_writer import MixedWriter
from tests.support.mounted import MountedPair

DIR = Path(__file__).parent


@pytest.mark.needs("tracefs")
@pytest.mark.parametrize("number", [1, 2])
def test_at_work(tmp_path, number):
    with MountedPair(tmp_path) as pair, MixedWriter(pair.root, 1, 1 << 20):
        request = pair.request(quiesce="live", partitions=[2], hold_in="last pass")
        with DrivenLive(**request) as driven:
            driven.wait_for("holding")
            (DIR / f"at-work-{os.getpid()}").write_text(f"{owner.tag()} {driven.process.pid}")
            driven.wait_for("nothing that ever comes")
"""


class Nested:
    """A pytest session on a directory of its own, with the project's conftest.py; a context manager that kills it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        (directory / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
        (directory / "pytest.ini").write_text(INI)
        (directory / "test_nested.py").write_text(TESTS)
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={directory / 'tmp'}", *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        self.output = directory / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(argv, cwd=directory, env=environment, stdout=output, stderr=output)

    def __enter__(self) -> Nested:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait_until_at_work(self, count: int) -> dict[int, tuple[str, int]]:
        """The processes that run a test, each with its tag and the number of its frozen sync."""

        def begun() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            found = list(self.directory.glob("at-work-*"))
            return len(found) == count and all(file.read_text() for file in found)

        wait_for(begun, 3 * PATIENCE)
        reported = {int(file.name.split("-")[2]): file.read_text().split() for file in self.directory.glob("at-work-*")}
        return {pid: (tag, int(sync)) for pid, (tag, sync) in reported.items()}

    def end(self) -> int:
        """The exit code."""
        return self.process.wait(3 * PATIENCE)


@pytest.fixture
def neighbour() -> Iterator[LoopDevice]:
    """A device of a process that lives."""
    with LoopDevice(MIB) as device:
        yield device
        assert device.path in [loop.path for loop in leftovers.attached()]
        assert device.file.exists()


def left(at_work: dict[int, tuple[str, int]], directory: Path) -> list[object]:
    """What is there of those processes."""
    tags = [tag for tag, _sync in at_work.values()]
    found: list[object] = [loop for loop in leftovers.attached() if loop.owner() in tags]
    found += leftovers.images(tags.__contains__)
    found += leftovers.processes(tags.__contains__)
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]
    return found + [name for _tag, sync in at_work.values() for name in tracefs.instances(sync)]


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(
    ("workers", "signals"),
    [
        (0, ["SIGTERM"]),
        (2, ["SIGINT", "SIGTERM"]),
        *(pytest.param(*each, marks=pytest.mark.full) for each in ((0, ["SIGHUP"]), (2, ["SIGTERM"]))),
    ],
)
def test_a_signal_leaves_nothing_behind(tmp_path: Path, workers: int, signals: list[str]) -> None:
    with Nested(tmp_path, f"--numprocesses={workers}") as nested:
        at_work = nested.wait_until_at_work(workers or 1)
        assert len(left(at_work, tmp_path)) > 4
        for name in signals:
            nested.process.send_signal(signal.Signals[name])
        assert nested.end() == pytest.ExitCode.INTERRUPTED, nested.output.read_text()
    assert left(at_work, tmp_path) == []
    assert "left behind" not in nested.output.read_text(), nested.output.read_text()


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_a_worker_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with Nested(tmp_path, "--numprocesses=2", "--max-worker-restart=0") as nested:
        at_work = nested.wait_until_at_work(2)
        victim, other = at_work
        os.kill(victim, number)
        wait_for(lambda: not left({victim: at_work[victim]}, tmp_path / "none"), state=nested.output.read_text)
        nested.process.terminate()
        nested.end()
    assert left(at_work, tmp_path) == []
    assert other not in children_of(os.getpid())


@pytest.mark.usefixtures("neighbour")
def test_the_next_session_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    with Nested(tmp_path) as nested:
        at_work = nested.wait_until_at_work(1)
        nested.process.kill()
        nested.end()
    assert left(at_work, tmp_path)
    with Nested(tmp_path, "--collect-only") as again:
        assert again.end() == pytest.ExitCode.OK, again.output.read_text()
    assert left(at_work, tmp_path) == []


@pytest.mark.full
@pytest.mark.usefixtures("neighbour")
def test_workers_whose_controller_is_killed_clean_up(tmp_path: Path) -> None:
    with Nested(tmp_path, "--numprocesses=2") as nested:
        at_work = nested.wait_until_at_work(2)
        nested.process.kill()
        nested.end()
    wait_for(lambda: not left(at_work, tmp_path), state=lambda: left(at_work, tmp_path))


def test_what_lives_or_is_of_another_namespace_is_not_dead() -> None:
    namespace, pid, start = owner.tag().split(".")
    assert not owner.is_dead(owner.tag())
    assert owner.is_dead(f"{namespace}.{pid}.{int(start) + 1}")
    assert not owner.is_dead(f"{int(namespace) + 1}.{pid}.{int(start) + 1}")
    assert not owner.is_dead("")
