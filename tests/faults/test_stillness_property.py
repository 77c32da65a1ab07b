# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever file system, way to hold it still, scope and load: a copy is equal, and a hidden writer makes it fail.

Random cases by their names. Nothing ends at the first that is wrong: all are counted, and listed at the end.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import BlksyncError, QuiesceError
from blksync.live import convergence
from blksync.quiesce.plan import steps_for
from blksync.sync import disk_plan, disk_sync
from tests.support import tracefs
from tests.support.disks import run
from tests.support.frozen_snapshot import FrozenSnapshot
from tests.support.mounted import UNFREEZABLE, MountedPair
from tests.support.owner import image_prefix
from tests.support.stillness_cases import KINDS, LIVE, SIZES, UNMOUNTED, Case, HiddenWriter, draw, held

pytestmark = [
    pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4", "e2fsck"),
    pytest.mark.timeout(1800),
]

QUIET = {"sample": 2, "full": 10, "long": 84}  # cases of each of the six kinds
HIDDEN = {"sample": 1, "full": 4, "long": 34}


@pytest.fixture
def pair(tmp_path: Path, kind: str) -> Iterator[MountedPair]:
    module = kind.partition("-")[0]
    if module not in Path("/proc/filesystems").read_text().split():
        pytest.skip("needs a kernel with %s" % module)
    make_root, options = KINDS[kind]
    with MountedPair(tmp_path, SIZES, make_root, options) as pair:
        neighbour = tmp_path / "neighbour"
        neighbour.mkdir()
        run("mkfs.ext4", "-q", pair.source.partition(3))
        run("mount", pair.source.partition(3), str(neighbour))
        yield pair


@contextmanager
def prepared(pair: MountedPair, kind: str, case: Case) -> Iterator[pytest.MonkeyPatch]:
    """The source is as the case has it."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        unfreezable = (*UNFREEZABLE, "ext4", "xfs", "btrfs") if case.way == UNMOUNTED else UNFREEZABLE
        patch.setattr(disk_plan, "steps_for", functools.partial(steps_for, unfreezable=unfreezable))
        patch.setattr(convergence, "LARGE", 1)  # never "faster than it can be copied"
        patch.setattr(convergence, "SMALL", 512 * 1024)
        stack.enter_context(held(pair, case, KINDS[kind][1]))
        yield patch


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_equal_and_no_alarm_is_false(pair: MountedPair, kind: str, depth: str) -> None:
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for number in range(QUIET[depth]):
        case = draw("%s %d" % (kind, number))
        counts["run"] += 1
        with prepared(pair, kind, case) as patch:
            sources = {number: pair.source.partition(number) for number in case.partitions}
            truth = FrozenSnapshot(patch, sources)
            before = pair.mounts()
            try:
                partitions = disk_sync.run(case.request(pair)).as_dict()["partitions"]
            except BlksyncError as error:
                counts["false alarms"] += 1
                wrong.append("%s: %s" % (case, error))
                continue
            finally:
                restored = (pair.mounts(), pair.frozen()) == (before, [])
            found = [*differences(pair, truth, partitions, kind)]
            found += [] if restored else ["not everything was put back"]
        counts["unequal"] += bool(found)
        counts["with late discards"] += any(truth.discarded.values())
        counts[case.way] += 1
        if case.way == LIVE:
            live = partitions[-1]["live"]
            counts["live used" if live["used"] else "not live: " + live["fallback"]["code"]] += 1
        wrong += ["%s: %s" % (case, "; ".join(found))] if found else []
    print("\nquiet %s: %s" % (kind, dict(counts)))
    assert wrong == [], "\n".join(wrong)
    assert counts["run"] == QUIET[depth]


def differences(pair: MountedPair, truth: FrozenSnapshot, partitions: list[dict[str, Any]], kind: str) -> Iterator[str]:
    """Why the copies are not what the sources were, byte for byte or, of used blocks only, file by file."""
    if truth.taken != 1:
        yield "the last moment came %d times" % truth.taken
        return
    for entry in partitions:
        number = entry["number"]
        if not entry["complete"]:
            yield "partition %d is not complete" % number
        if entry["scope"]["mode"] == "all":
            unequal = truth.unequal(number, pair.target.partition(number))
            if unequal:
                yield "%d blocks of partition %d differ, first %s" % (len(unequal), number, unequal[:5])
        else:
            yield from other_files(pair, truth.images[number], number, kind if number == 2 else "ext2")


def other_files(pair: MountedPair, image: bytes, number: int, kind: str) -> Iterator[str]:
    """What the file systems themselves say of the copy."""
    target, xfs = pair.target.partition(number), kind == "xfs"
    options = "nouuid" if xfs else "ro,noload" if kind.startswith("ext4") else "ro"
    if not xfs:  # xfs says of every frozen file system that it has a log to replay
        yield from failure("e2fsck", "-fn", target)
    path = Path("/dev/shm", image_prefix("snapshot") + ".img")
    path.write_bytes(image)
    truth = pair.directory / "truth"
    truth.mkdir(exist_ok=True)
    try:
        with mounted(str(path), truth, "loop," + options), mounted(target, pair.copy, options):
            yield from failure("diff", "-r", str(truth), str(pair.copy))
    finally:
        path.unlink()
    if xfs:
        yield from failure("xfs_repair", "-n", target)


@contextmanager
def mounted(device: str, directory: Path, options: str) -> Iterator[None]:
    run("mount", "-o", options, device, str(directory))
    try:
        yield
    finally:
        run("umount", str(directory))


def failure(*argv: str) -> Iterator[str]:
    """What a program says, if it does not end well."""
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode:
        yield "%s: %s" % (" ".join(argv), (result.stdout + result.stderr)[-500:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_writer_is_never_missed(pair: MountedPair, kind: str, depth: str) -> None:
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for number in range(HIDDEN[depth]):
        case = draw("hidden %s %d" % (kind, number))
        counts["run"] += 1
        with prepared(pair, kind, case) as patch:
            writer = HiddenWriter(pair, case)
            writer.install(patch)
            before = pair.mounts()
            found = caught(case, pair, writer)
            if (pair.mounts(), pair.frozen(), tracefs.instances(os.getpid())) != (before, [], []):
                found.append("not everything was put back")
        counts[case.way] += 1
        counts[writer.way] += 1
        counts["missed"] += bool(found)
        wrong += ["%s, %s: %s" % (case, writer, "; ".join(found))] if found else []
    print("\nhidden %s: %s" % (kind, dict(counts)))
    assert wrong == [], "\n".join(wrong)


def caught(case: Case, pair: MountedPair, writer: HiddenWriter) -> list[str]:
    """What is wrong with how the copy failed."""
    try:
        with writer.at_work():
            disk_sync.run(case.request(pair))
    except QuiesceError as error:
        found = [] if writer.acted or case.way == LIVE else ["it failed before anything was written: %s" % error]
        partitions = error.report.as_dict()["partitions"] if error.report else []
        complete = [one["number"] for one in partitions if one["complete"]]
        return found + (["%s called complete" % complete] if complete else [])
    except BlksyncError as error:
        return ["another error (%s): %s" % (error.kind, error)]
    return ["not noticed"]
