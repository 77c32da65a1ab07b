# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever casts doubt on a live copy leads to the plain one, which says why; or, where that is wanted, to an error."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import QuiesceError, RefusedError
from blksync.live import convergence, dirty_tracker, trace
from blksync.live.trace import EVENT
from blksync.options import SyncRequest
from blksync.quiesce.actions.base import NotPossibleError
from blksync.quiesce.actions.freeze import Freeze
from blksync.quiesce.plan import steps_for
from blksync.quiesce.stillness import Counter, Counts
from blksync.sync import disk_plan, disk_sync
from blksync.sync.monitor import Progress
from blksync.sync.plan import Pair
from blksync.system import libc
from tests.support import tracefs
from tests.support.disks import MIB, SECTOR, run
from tests.support.frozen_truth import FrozenTruth, hashes
from tests.support.mixed_writer import MixedWriter
from tests.support.mounted import UNFREEZABLE, MountedPair

pytestmark = pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4")

MS_RDONLY, MS_BIND = 1, 4096  # linux/mount.h


class Disturbing(Progress):
    """Does something as soon as the first pass, with the source in use, has come some way."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._acts = [act]

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        """See Progress."""
        while self._acts:
            self._acts.pop()()


@dataclass
class Case:
    """A doubt and how it comes: ``arrange`` before the sync, until its end, ``act`` during its first pass.

    ``known``: beforehand, so that without a fallback nothing is written.
    """

    reason: str
    arrange: Callable[[MountedPair, pytest.MonkeyPatch], AbstractContextManager[None]] | None = None
    act: Callable[[MountedPair], None] = lambda _pair: None
    known: bool = False
    writer: bool = True


def ours(name: str) -> Path:
    """A file of the trace that the sync of this process has now."""
    (instance,) = tracefs.instances(of=os.getpid())
    return tracefs.DIR / "instances" / instance / name


@contextmanager
def without_tracefs(_pair: MountedPair, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    tracefs.unmount()
    try:
        yield
    finally:
        assert tracefs.mount() == ""


@contextmanager
def read_only_tracefs(_pair: MountedPair, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    libc.mount(None, str(tracefs.DIR), None, libc.MS_REMOUNT | MS_BIND | MS_RDONLY)
    try:
        yield
    finally:
        libc.mount(None, str(tracefs.DIR), None, libc.MS_REMOUNT | MS_BIND)


@contextmanager
def writes_not_counted(pair: MountedPair, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    switch = Path("/sys/class/block", pair.source.name, "queue/iostats")
    switch.write_text("0")
    try:
        yield
    finally:
        switch.write_text("1")


@contextmanager
def reader_held_back(_pair: MountedPair, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(trace, "LEAST_BUFFER", 4)
    patch.setattr(trace, "MOST_BUFFER", 4)
    patch.setattr(dirty_tracker, "WAKE", 60.0)
    yield


@contextmanager
def no_freezing(_pair: MountedPair, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's kernel may have no file system that it could mount and not freeze."""

    def do(_freeze: Freeze) -> None:
        raise NotPossibleError("it cannot be frozen")

    patch.setattr(Freeze, "do", do)  # the guardian is forked from here
    yield


@contextmanager
def not_worth_while(_pair: MountedPair, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(convergence, "SMALL", 0)
    patch.setattr(convergence, "SHRINKS", 0.0)
    patch.setattr(convergence, "LARGE", 1 << 20)
    yield


def write_more_than_the_buffer_holds(pair: MountedPair) -> None:
    with open(pair.root / "many", "wb", buffering=0) as file:
        for _turn in range(500):
            file.write(b"x" * 4096)
            os.fsync(file.fileno())


def narrow_the_filter(_pair: MountedPair) -> None:
    ours(EVENT + "/filter").write_text("nr_sector > 1000000")


def stop_the_trace(_pair: MountedPair) -> None:
    ours("tracing_on").write_text("0")


def trace_one_process_only(pair: MountedPair) -> None:
    ours("set_event_pid").write_text("1")
    write_once(pair)


def trace_other_events_as_well(pair: MountedPair) -> None:
    ours("events/block/block_rq_issue/enable").write_text("1")
    write_once(pair)


def write_once(pair: MountedPair) -> None:
    """The other writer may not get to run while the source is copied."""
    with open(pair.root / "once", "wb", buffering=0) as file:
        file.write(os.urandom(4096))
        os.fsync(file.fileno())


def break_the_pipe(_pair: MountedPair) -> None:
    """Another file takes the place of one of the raw buffers."""
    descriptors = {os.readlink("/proc/self/fd/%s" % fd): int(fd) for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
    raw = next(fd for path, fd in descriptors.items() if path.endswith("trace_pipe_raw"))
    directory = os.open("/", os.O_RDONLY)
    os.dup2(directory, raw, inheritable=False)
    os.close(directory)


def _is_open(fd: str) -> bool:
    return os.path.lexists("/proc/self/fd/" + fd)


CASES = {
    "no-tracefs": Case("tracefs is not mounted", without_tracefs, known=True),
    "refused": Case(
        "the kernel does not let itself be traced: /sys/kernel/tracing/instances/blksync.",
        read_only_tracefs,
        known=True,
    ),
    "overflow": Case("the kernel's trace lost events", reader_held_back, write_more_than_the_buffer_holds),
    "filter": Case("something else changed the trace", act=narrow_the_filter),
    "switch": Case("something else changed the trace", act=stop_the_trace),
    "guard": Case("the kernel counted more writes than its trace reports", act=trace_one_process_only),
    "other-events": Case("the trace holds something that is not understood", act=trace_other_events_as_well),
    "unreadable": Case("the trace cannot be read: Is a directory", act=break_the_pipe),
    "not-freezable": Case("ROOT (ext4) could not be frozen", no_freezing, known=True, writer=False),
    "no-convergence": Case(
        "the source is written to faster than it can be copied (after 1 passes ", not_worth_while, write_once
    ),
}


ALSO_IN_THE_SAMPLE = ("no-tracefs", "guard", "no-convergence")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path, (8 * MIB // SECTOR, 48 * MIB // SECTOR)) as pair:
        yield pair


def copy(pair: MountedPair, case: Case, patch: pytest.MonkeyPatch, fallback: bool) -> dict[str, Any]:
    """What a sync of the second partition reports of it, with the doubt arranged."""
    options: dict[str, Any] = {"quiesce": "live", "engine": "native", "partitions": (2,), "quiesce_fallback": fallback}
    request = SyncRequest(pair.source.identifier, pair.target.identifier, **options)
    writer = MixedWriter(pair.root, 7, 8 * MIB) if case.writer else nullcontext()
    arranged = case.arrange(pair, patch) if case.arrange else nullcontext()
    with writer, arranged:
        report = disk_sync.run(request, Disturbing(lambda: case.act(pair))).as_dict()
    (partition,) = report["partitions"]
    return dict(partition)


@pytest.mark.parametrize("name", CASES)
def test_a_doubt_leads_to_the_plain_way(pair: MountedPair, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    case = CASES[name]
    truth = FrozenTruth(monkeypatch, pair.source.partition(2))
    mounts = pair.mounts()
    report = copy(pair, case, monkeypatch, fallback=True)
    assert report["complete"]
    assert not report["live"]["used"]
    assert report["live"]["fallback"]["message"].startswith(case.reason.replace("ROOT", str(pair.root)))
    print("\nfell back: %s; frozen %.3f s" % (report["live"]["fallback"]["message"], report["frozen_seconds"]))
    assert truth.different(pair.target.partition(2)) == []
    assert (pair.mounts(), pair.frozen(), tracefs.instances(os.getpid())) == (mounts, [], [])


@pytest.mark.parametrize(
    "name",
    [
        *ALSO_IN_THE_SAMPLE,
        *(pytest.param(name, marks=pytest.mark.full) for name in CASES if name not in ALSO_IN_THE_SAMPLE),
    ],
)
def test_a_doubt_is_an_error_where_nothing_else_is_wanted(
    pair: MountedPair, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case = CASES[name]
    before, mounts = hashes(pair.target.partition(2)), pair.mounts()
    with pytest.raises(QuiesceError) as caught:
        copy(pair, case, monkeypatch, fallback=False)
    assert case.reason.replace("ROOT", str(pair.root)) in str(caught.value)
    assert (hashes(pair.target.partition(2)) == before) is case.known
    assert (pair.mounts(), pair.frozen(), tracefs.instances(os.getpid())) == (mounts, [], [])
    assert caught.value.report is not None
    (partition,) = caught.value.report.as_dict()["partitions"]
    assert not partition["complete"]
    assert partition["live"]["fallback"]


class LateCounter(Counter):
    """Counts a discard that was traced before the first moment only after it, as happens on a busy machine."""

    late = True

    def read(self, first: bool = False) -> Counts:
        counts = super().read(first)
        if first and self.late:
            self.late = False
            return replace(counts, discarded=counts.discarded - SECTOR)
        return counts


def test_what_is_counted_late_once_costs_a_pass_alone(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty_tracker, "Counter", LateCounter)
    monkeypatch.setattr(convergence, "LARGE", 1)
    truth = FrozenTruth(monkeypatch, pair.source.partition(2))
    names = pair.source.identifier, pair.target.identifier
    with MixedWriter(pair.root, 5, 2 * MIB):
        request = SyncRequest(*names, partitions=(2,), quiesce="live", quiesce_fallback=False)
        (partition,) = disk_sync.run(request).as_dict()["partitions"]
    assert partition["live"]["used"]
    assert partition["live"]["iterations"] >= 2
    assert truth.different(pair.target.partition(2)) == []


@pytest.mark.parametrize("fallback", [True, False])
def test_where_nothing_is_counted_nothing_is_copied(
    pair: MountedPair, monkeypatch: pytest.MonkeyPatch, fallback: bool
) -> None:
    """Neither live nor frozen: nobody could know whether the source was written to."""
    before, mounts = hashes(pair.target.partition(2)), pair.mounts()
    with pytest.raises(QuiesceError, match="does not count") as caught:
        copy(pair, Case("", writes_not_counted), monkeypatch, fallback)
    assert "queue/iostats" in caught.value.hint
    assert hashes(pair.target.partition(2)) == before
    assert (pair.mounts(), pair.frozen()) == (mounts, [])


def test_check_mode_says_that_nothing_is_counted(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    request = SyncRequest(pair.source.identifier, pair.target.identifier, partitions=(2,), check=True)
    with writes_not_counted(pair, monkeypatch), pytest.raises(QuiesceError, match="does not count"):
        disk_sync.run(request)


@pytest.fixture
def two_file_systems(pair: MountedPair, monkeypatch: pytest.MonkeyPatch) -> Iterator[MountedPair]:
    """The second partition holds one that can be frozen, at ``root``, and one that cannot, at ``copy``."""
    monkeypatch.setattr(disk_plan, "steps_for", functools.partial(steps_for, unfreezable=UNFREEZABLE))
    run("umount", str(pair.root))
    with ExitStack() as stack:
        halves = ((pair.root, "mkfs.ext4", 0), (pair.copy, "mkfs.ext2", 24 * MIB))
        for mountpoint, make, offset in halves:
            half = ("-o", str(offset), "--sizelimit", str(24 * MIB), pair.source.partition(2))
            loop = run("losetup", "-f", "--show", *half).strip()
            stack.callback(run, "losetup", "-d", loop)
            run(make, "-q", loop)
            run("mount", loop, str(mountpoint))
            stack.callback(run, "umount", str(mountpoint))
            (mountpoint / "file").write_bytes(os.urandom(MIB))
        yield pair


def test_a_file_system_that_can_only_be_unmounted(
    two_file_systems: MountedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, case = two_file_systems, Case("", writer=False)
    reason = "%s (ext2) cannot be frozen, only unmounted" % pair.copy
    truth = FrozenTruth(monkeypatch, pair.source.partition(2))
    mounts, before = pair.mounts(), hashes(pair.target.partition(2))
    with pytest.raises(RefusedError, match=re.escape(reason)):
        copy(pair, case, monkeypatch, fallback=False)
    assert hashes(pair.target.partition(2)) == before
    report = copy(pair, case, monkeypatch, fallback=True)
    assert report["live"]["fallback"] == {"code": "not_freezable", "message": reason}
    assert truth.different(pair.target.partition(2)) == []
    assert pair.mounts() == mounts
