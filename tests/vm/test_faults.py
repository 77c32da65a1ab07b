# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks, connections and machines that fail in the middle of a sync, with both engines.

After each: the exit status and the error say so, nothing is frozen, the mounts are as before, and a new run on healthy
disks ends with equal partitions. What was reported is written to build/results/vm-faults.md.
"""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from .cache import REPOSITORY
from .data_pair import MOUNT_POINT, SIZE, SOURCE_ID, SOURCE_START, TARGET_ID, TARGET_START, DataPair, plugged_pair
from .faulty_disk import Fault, FaultyDisk
from .image import MIB
from .scene import Scene
from .waiting import wait_for
from .workstation import Workstation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .machines import Machines

HALF = SIZE * MIB // 2
MID_SOURCE, MID_TARGET = SOURCE_START * MIB + HALF, TARGET_START * MIB + HALF
ENGINES = ("native", "blocksync_fast")

with_both_engines = pytest.mark.parametrize("engine", ENGINES)


@dataclass(frozen=True)
class Outcome:
    """How a run of `blksync sync` ended; `error` and `report` are empty where it printed none."""

    status: int
    error: dict[str, Any]
    report: dict[str, Any]
    output: str

    @classmethod
    def of(cls, status: int, output: str) -> Outcome:
        """Return the outcome that the program's output has: JSON, and perhaps messages beside it."""
        start = output.find("{")
        printed = json.JSONDecoder().raw_decode(output[start:])[0] if start >= 0 else {}
        result = (printed.get("results") or [{}])[0]
        return cls(status, result.get("error") or printed.get("error") or {}, result, output)


@dataclass(frozen=True)
class Bench:
    """The shared system, a fresh pair of disks, and where outcomes are noted."""

    system: Workstation
    pair: DataPair
    table: list[str]

    def command(self, engine: str) -> str:
        """Return the sync's shell command: the source, where it is mounted, is frozen while anything goes wrong."""
        options = ["--source", SOURCE_ID, "--target", TARGET_ID, "--partitions", "1", "--engine", engine, "--json"]
        # Each test has fresh disks, with the identifiers of those before.
        options += ["--quiesce", "freeze", "--yes", "--discard-changes"]
        return f"timeout 240 env {self.system.command('sync', *options)}"

    def sync(self, engine: str) -> Outcome:
        """Run a sync and wait for its end."""
        done = self.system.ssh.attempt(self.command(engine))
        return Outcome.of(done.returncode, done.stdout + done.stderr)

    @contextmanager
    def syncing(self, engine: str) -> Iterator[subprocess.Popen[str]]:
        """Run a sync over a connection of its own, while the body does something to it."""
        argv = self.system.ssh.argv(self.command(engine), shared=False)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
            try:
                yield running
            finally:
                running.kill()

    def end(self, running: subprocess.Popen[str]) -> Outcome:
        """Wait for the end of a sync that runs."""
        output = running.communicate(timeout=300)[0]
        return Outcome.of(running.returncode, output)

    def note(self, fault: str, engine: str, outcome: Outcome) -> None:
        """Add a row to the table of what was reported."""
        error = outcome.error
        said = f"{error.get('kind', '')} | {error.get('message', '')}".replace("\n", " ")
        self.table.append(f"| {fault} | {engine} | {outcome.status} | {said} |")

    def check_failure(self, fault: str, engine: str, outcome: Outcome, *kinds: str) -> None:
        """The sync failed with one of these kinds of error and said where."""
        self.note(fault, engine, outcome)
        assert outcome.status == 1, outcome.output
        assert outcome.error["kind"] in kinds, outcome.output
        assert outcome.error["message"], outcome.output

    def check_rerun(self, engine: str) -> None:
        """A run on healthy disks, plugged in and not mounted, ends with equal partitions."""
        self.pair.source.faults, self.pair.target.faults = [], []
        self.system.ssh.attempt(f"umount {MOUNT_POINT}")
        self.pair.plug(self.system.machine)
        outcome = self.sync(engine)
        assert outcome.status == 0, outcome.output
        assert self.pair.source_bytes() == self.pair.target_bytes()


class SharedSystem:
    """One machine for all faults; a new one after a test that failed, since that may have broken it."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self.system: Workstation | None = None
        self.no_blocksync_fast = ""

    def get(self) -> Workstation:
        """Return the machine, with the core and, where this host has it, blocksync-fast."""
        if self.system is None or not self.system.machine.running():
            self.system = Workstation(self._machines.running(Scene()), Scene())
            self.system.deploy_core()
            self.no_blocksync_fast = self.system.deploy_blocksync_fast()
        return self.system


@pytest.fixture(scope="module")
def shared_system(module_machines: Machines) -> SharedSystem:
    """The machine that the tests share."""
    return SharedSystem(module_machines)


@pytest.fixture(scope="module")
def fault_table() -> Iterator[list[str]]:
    """Rows of the table of outcomes, written to a file at the end."""
    rows: list[str] = []
    yield rows
    report = REPOSITORY / "build" / "results" / "vm-faults.md"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(["| fault | engine | exit | error | message |", "|---|---|---|---|---|", *rows, ""]))


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, shared_system: SharedSystem, fault_table: list[str], tmp_path: Path
) -> Iterator[Bench]:
    """A pair of disks on the shared system; its mounts must be the same at the end."""
    system = shared_system.get()
    if "[blocksync_fast]" in request.node.name and shared_system.no_blocksync_fast:
        pytest.skip(shared_system.no_blocksync_fast)
    shared_system.system = None  # until the test has passed
    before = system.mounts()
    with plugged_pair(system.machine, tmp_path) as pair:
        yield Bench(system, pair, fault_table)
    assert system.mounts() == before
    system.check_writable("/", "/boot/efi")
    shared_system.system = system


@with_both_engines
def test_target_unplugged(bench: Bench, engine: str) -> None:
    before = bench.system.mounts()
    partition = bench.system.ssh.run(f"readlink -f {bench.pair.target_usb.by_id}-part1").strip()
    bench.pair.target.faults = [Fault("stalled_write", MID_TARGET)]
    with bench.syncing(engine) as running:
        wait_for_stall(bench.pair.target, running)
        unplug_while_stalled(bench, "target")
        outcome = bench.end(running)
    # What fails first may be the write, or reading on ahead of it.
    bench.check_failure("target unplugged", engine, outcome, "write_error", "read_error", "engine", "disk_not_found")
    assert partition in outcome.error["message"] or outcome.error["kind"] not in ("write_error", "read_error")
    assert bench.system.mounts() == before
    bench.system.check_writable(MOUNT_POINT)
    bench.check_rerun(engine)


@with_both_engines
def test_source_unplugged(bench: Bench, engine: str) -> None:
    bench.pair.source.faults = [Fault("stalled_read", MID_SOURCE)]
    with bench.syncing(engine) as running:
        wait_for_stall(bench.pair.source, running)
        unplug_while_stalled(bench, "source")
        outcome = bench.end(running)
    bench.check_failure("source unplugged", engine, outcome, "read_error", "engine")
    bench.system.ssh.run(f"timeout 30 umount {MOUNT_POINT}")  # hangs if it is still frozen
    bench.check_rerun(engine)


@with_both_engines
def test_bad_sector_on_the_source(bench: Bench, engine: str) -> None:
    before, old = bench.system.mounts(), bench.pair.target_bytes()
    bench.pair.source.faults = [Fault("read_error", MID_SOURCE, MID_SOURCE + 512)]
    outcome = bench.sync(engine)
    bench.check_failure("bad sector on the source", engine, outcome, "read_error", "engine")
    partition = bench.system.ssh.run(f"readlink -f {bench.pair.source_usb.by_id}-part1").strip()
    assert partition in outcome.error["message"]
    assert str(HALF) in outcome.error["message"]
    sector = slice(HALF, HALF + 512)
    assert bench.pair.target_bytes()[sector] == old[sector], "what could not be read was written"
    assert bench.system.mounts() == before
    bench.system.check_writable(MOUNT_POINT)
    bench.check_rerun(engine)


@with_both_engines
def test_write_errors_on_the_target(bench: Bench, engine: str) -> None:
    bench.pair.target.faults = [Fault("write_error", MID_TARGET, MID_TARGET + MIB)]
    outcome = bench.sync(engine)
    bench.check_failure("write errors on the target", engine, outcome, "write_error", "engine", "verification")
    bench.system.check_writable(MOUNT_POINT)
    bench.check_rerun(engine)


@with_both_engines
def test_target_that_forgets_writes(bench: Bench, engine: str) -> None:
    bench.pair.target.faults = [Fault("lost_write", MID_TARGET, MID_TARGET + MIB)]
    outcome = bench.sync(engine)
    bench.check_failure("target forgets writes", engine, outcome, "verification")
    bench.system.check_writable(MOUNT_POINT)
    bench.check_rerun(engine)


@with_both_engines
def test_connection_cut_in_the_freeze(bench: Bench, engine: str) -> None:
    before = bench.system.mounts()
    bench.pair.target.faults = [Fault("stalled_write", MID_TARGET)]
    with bench.syncing(engine) as running:
        wait_for_stall(bench.pair.target, running)
        again = bench.system.ssh.attempt(f"fsfreeze --freeze {MOUNT_POINT} && fsfreeze --unfreeze {MOUNT_POINT}")
        assert "busy" in again.stderr, "the source is not frozen, so this shows nothing"
        running.kill()
    bench.pair.target.resume()
    gone = "! pgrep -f 'blksync[ ]sync'"
    wait_for("the sync ended", lambda: bench.system.ssh.attempt(gone).returncode == 0, 120, every=0.5)
    assert bench.system.mounts() == before
    bench.system.check_writable(MOUNT_POINT)
    bench.note("connection cut in the freeze", engine, Outcome(-1, {"message": "(nobody to tell)"}, {}, ""))
    bench.check_rerun(engine)


@with_both_engines
def test_target_that_differs_in_its_last_blocks_only(bench: Bench, engine: str) -> None:
    bench.check_rerun(engine)
    with bench.pair.target.image.open("r+b") as image:
        for back in (4096, 12288, 16384):
            image.seek((TARGET_START + SIZE) * MIB - back)
            image.write(b"differs!")
    bench.system.ssh.run(f"blockdev --flushbufs {bench.pair.target_usb.by_id}")
    outcome = bench.sync(engine)
    assert outcome.report["changed"], outcome.output
    assert bench.pair.source_bytes() == bench.pair.target_bytes()
    again = bench.sync(engine)
    assert not again.report["changed"], again.output


@with_both_engines
def test_power_cut(bench: Bench, shared_system: SharedSystem, engine: str) -> None:
    bench.pair.target.faults = [Fault("stalled_write", MID_TARGET)]
    machine = bench.system.machine
    with bench.syncing(engine) as running:
        wait_for_stall(bench.pair.target, running)
        machine.kill()
    bench.pair.target.resume()
    machine.start()
    machine.wait_ssh()
    assert bench.system.ssh.run("systemctl is-system-running --wait").strip() == "running"
    bench.note("power cut", engine, Outcome(-1, {"message": "(nobody to tell)"}, {}, ""))
    bench.check_rerun(engine)


def unplug_while_stalled(bench: Bench, name: Literal["source", "target"]) -> None:
    """Pull a disk out in the middle of a request; QEMU waits for that request, which then ends."""
    disk, error = {
        "source": (bench.pair.source, Fault("read_error", MID_SOURCE)),
        "target": (bench.pair.target, Fault("write_error", MID_TARGET)),
    }[name]
    disk.faults = [error]
    pulling = threading.Thread(target=bench.system.machine.unplug, args=(name,))
    pulling.start()
    pulling.join(2)  # the request is still held: the guest sees the disk go
    disk.resume()
    pulling.join(60)
    assert not pulling.is_alive()


def wait_for_stall(disk: FaultyDisk, running: subprocess.Popen[str]) -> None:
    """Wait until the sync has come to where the disk stalls; show what it said if it ends before."""
    wait_for("the disk stalls", lambda: disk.stalled.is_set() or running.poll() is not None, 120)
    assert disk.stalled.is_set(), running.communicate(timeout=30)[0]
