# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest on real block devices: what it saves, when it is believed, and that it never costs a byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blksync import discovery, sync
from blksync.digest import DigestReader
from blksync.digest_witness import places
from blksync.engines.blocksync_fast import BlocksyncFastEngine
from blksync.errors import BlksyncError
from blksync.plan import Pair
from blksync.progress import Progress
from blksync.request import SyncRequest
from tests.support.blocks import assert_equal, content, fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, run
from tests.support.sync_driver import ROOT, Driven

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (4 * MIB // SECTOR, 16 * MIB // SECTOR + 3)
SOURCE, TARGET = "d16e5701", "d16e5702"
SECOND_SIZE = SIZES[1] * SECTOR
TAIL = SECOND_SIZE % 4096
ENGINES = ["native", "blocksync_fast"]


class Disks:
    """The two disks, a folder for digests, and a view of the machine that is not renewed: looking reads the disks."""

    def __init__(self, source: PartitionedDisk, target: PartitionedDisk, folder: Path) -> None:
        self.source, self.target, self.folder = source, target, folder
        self.machine = discovery.observe()

    def sync(self, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
        values = {"engine": "native", "quiesce": "none", "digest_dir": str(self.folder), **options}
        if values["engine"] == "blocksync_fast" and BlocksyncFastEngine.find() is None:
            pytest.skip("blocksync-fast is not installed")
        return sync.run(SyncRequest(SOURCE, TARGET, **values), progress, lambda: self.machine).as_dict()

    def digests(self) -> list[Path]:
        return sorted(self.folder.glob("*.digest"))

    def record(self, number: int = 2) -> Path:
        return Path(f"{self.digests()[number - 1]}.json")

    def edit_record(self, **fields: Any) -> None:
        record = json.loads(self.record().read_text())
        binding = {**record["binding"], **fields.pop("binding", {})}
        self.record().write_text(json.dumps({**record, **fields, "binding": binding}))


@pytest.fixture(scope="module")
def hardware() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        yield source, target


@pytest.fixture
def disks(hardware: tuple[PartitionedDisk, PartitionedDisk], tmp_path: Path) -> Disks:
    for number in (1, 2):
        fill(hardware[0].partition(number))
    return Disks(*hardware, tmp_path / "digests")


def read_sectors(path: str) -> int:
    """How many sectors were read from a block device since it is there (Documentation/block/stat.rst)."""
    return int(Path("/sys/class/block", os.path.basename(path), "stat").read_text().split()[2])


def used(result: dict[str, Any]) -> list[bool]:
    return [pair["digest"]["used"] for pair in result["partitions"]]


@pytest.mark.parametrize("engine", ENGINES)
def test_first_second_and_changed_run(disks: Disks, engine: str) -> None:
    first = disks.sync(engine=engine)
    assert (first["changed"], used(first)) == (True, [False, False])
    assert "none for this pair yet" in first["partitions"][0]["notes"][-1]
    assert_equal(disks.source, disks.target)
    second = disks.sync(engine=engine)
    assert (second["changed"], second["bytes_written"], used(second)) == (False, 0, [True, True])
    for offset in (0, 5 * MIB, SECOND_SIZE - TAIL - 4096, SECOND_SIZE - 100):
        fill(disks.source.partition(2), offset, 100)
    predicted = disks.sync(engine=engine, check=True)
    third = disks.sync(engine=engine)
    for result in (predicted, third):
        assert result["bytes_written"] == 3 * 4096 + TAIL
        assert [pair["blocks_changed"] for pair in result["partitions"]] == [0, 4]
        assert used(result) == [True, True]
    assert third["partitions"][1]["verified"]["bytes_read"] == 3 * 4096 + TAIL
    assert_equal(disks.source, disks.target)
    assert disks.sync(engine=engine)["changed"] is False
    assert sorted(path.suffix for path in disks.folder.iterdir()) == [".digest", ".digest", ".json", ".json"]


class ReadCounter(Progress):
    """Counts what is read of the target between a pair's beginning and its end."""

    def __init__(self) -> None:
        self.sectors: list[int] = []

    def pair_started(self, pair: Pair, engine: str) -> None:
        self.sectors.append(-read_sectors(pair.target.path))

    def pair_finished(self, pair: Pair, blocks_changed: int, written: int) -> None:
        self.sectors[-1] += read_sectors(pair.target.path)


def sectors_read(sync_once: Callable[[Progress], object], expected: list[int]) -> list[int]:
    """What one sync reads of each target partition. Whoever lists the machine's disks meanwhile reads them too, so a
    result that is not the expected one is looked at again."""
    counts: list[int] = []
    for _attempt in range(5):
        counter = ReadCounter()
        sync_once(counter)
        counts = counter.sectors
        if counts == expected:
            break
    return counts


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("check", [False, True])
def test_with_a_digest_only_a_sample_of_the_target_is_read(disks: Disks, engine: str, check: bool) -> None:
    disks.sync(engine=engine)
    # Before it is believed, and again for the next run.
    sampled = [sum(length for _at, length in places(size * SECTOR)) // SECTOR * (1 if check else 2) for size in SIZES]

    def again(counter: Progress) -> None:
        disks.sync(counter, engine=engine, check=check)

    def without(counter: Progress) -> None:
        disks.sync(counter, engine=engine, digest_dir="", check=check)

    def changed(counter: Progress) -> None:
        fill(disks.source.partition(2), 8192, 1)
        assert disks.sync(counter, engine=engine, check=check)["bytes_written"] == 4096

    assert sectors_read(again, sampled) == sampled
    written = [sampled[0], sampled[1] + (0 if check else 4096 // SECTOR)]  # which is read back
    assert sectors_read(changed, written) == written
    assert sum(sectors_read(without, [])) >= sum(SIZES)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda disks: disks.edit_record(state="unfinished"), "did not come to its end"),
        (lambda disks: disks.edit_record(compared=int(time.time()) - 31 * 24 * 3600), "full comparison"),
        (lambda disks: disks.edit_record(runs=99), "full comparison"),
        (lambda disks: disks.edit_record(binding={"holds": {"uuid": "1234"}}), "changed by something else"),
        (lambda disks: disks.edit_record(binding={"target": {"serial": "1234"}}), "another target"),
        (lambda disks: disks.edit_record(binding={"source": {"ptuuid": "1234"}}), "another source"),
        (lambda disks: disks.edit_record(binding={"size": 4096}), "another size"),
        (lambda disks: disks.edit_record(binding={"engine": "native 0.0.1"}), "native 0.0.1"),
        (lambda disks: disks.edit_record(format=2), "record is not readable"),
        (lambda disks: disks.record().unlink(), "record is not readable"),
        (lambda disks: disks.record().write_text("{"), "record is not readable"),
        (lambda disks: disks.digests()[1].unlink(), "cannot be used"),
        (lambda disks: os.truncate(disks.digests()[1], 600), "cannot be used"),
        (lambda disks: overwrite(disks.digests()[1], 24, bytes(8)), "cannot be used"),
        (lambda disks: overwrite(disks.digests()[1], 700, b"x"), "not the file that was written"),
        (lambda disks: overwrite(disks.digests()[1], 56, (9999).to_bytes(8, "little")), "9999"),
        (lambda disks: disks.digests()[1].write_bytes(disks.digests()[0].read_bytes()), "not the file"),
        (lambda disks: swap_for_link(disks.digests()[1]), "cannot be used"),
    ],
)
def test_whatever_does_not_fit_means_a_full_comparison_and_a_new_digest(
    disks: Disks, damage: Callable[[Disks], object], words: str
) -> None:
    disks.sync()
    fill(disks.target.partition(2), 4 * MIB + 8192, 10 * 4096)  # a believed digest would miss it
    damage(disks)
    result = disks.sync()
    assert used(result) == [True, False]
    assert words in result["partitions"][1]["digest"]["reason"]
    assert words in result["partitions"][1]["notes"][-1]
    assert result["bytes_written"] == 10 * 4096
    assert_equal(disks.source, disks.target)
    assert used(disks.sync()) == [True, True]


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def swap_for_link(path: Path) -> None:
    other = path.with_suffix(".elsewhere")
    path.rename(other)
    path.symlink_to(other)


def test_other_options_mean_a_full_comparison(disks: Disks) -> None:
    disks.sync()
    assert used(disks.sync(block_size=65536)) == [False, False]
    assert used(disks.sync(block_size=65536)) == [True, True]
    assert used(disks.sync(block_size=65536, algorithm="SHA256")) == [False, False]
    assert used(disks.sync(block_size=65536)) == [True, True]  # auto stays with what is there
    assert [json.loads(Path(f"{path}.json").read_text())["binding"]["algorithm"] for path in disks.digests()] == [
        "SHA256",
        "SHA256",
    ]
    everything = disks.sync(block_size=65536, compare=False)
    assert used(everything) == [False, False]
    assert everything["bytes_written"] == sum(SIZES) * SECTOR
    assert used(disks.sync(block_size=65536)) == [True, True]
    assert_equal(disks.source, disks.target)


def test_every_nth_run_compares_in_full(disks: Disks) -> None:
    assert [used(disks.sync(digest_full_every=3))[0] for _run in range(7)] == [False, True, True] * 2 + [False]
    assert [used(disks.sync(digest_full_every=1))[0] for _run in range(2)] == [False, False]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_without_the_digest_takes_the_belief_from_it(disks: Disks, engine: str) -> None:
    before = content(disks.source.partition(2))[8 * MIB + 8192 : 8 * MIB + 12288]
    disks.sync(engine=engine)
    fill(disks.source.partition(2), 8 * MIB + 8192, 4096)
    disks.sync(engine="native", digest_dir="")
    with open(disks.source.partition(2), "r+b") as device:  # what the digest knows, but the target no longer holds
        device.seek(8 * MIB + 8192)
        device.write(before)
    third = disks.sync(engine=engine)
    assert "changed by something else" in third["partitions"][1]["digest"]["reason"]
    assert third["bytes_written"] == 4096
    assert_equal(disks.source, disks.target)


def test_a_backup_that_was_mounted_for_writing_is_compared_again(disks: Disks, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", disks.source.partition(2))
    disks.sync()
    folder = tmp_path / "mounted"
    folder.mkdir()
    run("mount", disks.target.partition(2), str(folder))
    run("umount", str(folder))
    again = disks.sync()
    assert used(again) == [True, False]
    assert again["changed"]
    assert_equal(disks.source, disks.target)
    fill(disks.target.partition(2))  # the next test's view of the machine shall not show a file system here


def test_old_digest_new_disk_upstream_issue_18(disks: Disks) -> None:
    """The backup disk dies and a new one with the same partition table takes its place: nothing of it is up to date."""
    identifier = "d16e5704"

    def one_sync(target: PartitionedDisk) -> dict[str, Any]:
        machine = discovery.observe()
        options: dict[str, Any] = {"quiesce": "none", "engine": "native", "digest_dir": str(disks.folder)}
        result = sync.run(SyncRequest(SOURCE, identifier, **options), observe=lambda: machine).as_dict()
        assert_equal(disks.source, target)
        return result

    with PartitionedDisk(identifier, SIZES) as old:
        one_sync(old)
        assert used(one_sync(old)) == [True, True]
    with PartitionedDisk(identifier, SIZES) as new:
        for number in (1, 2):
            fill(new.partition(number))
        result = one_sync(new)
        assert used(result) == [False, False]
        assert "another target" in result["partitions"][0]["digest"]["reason"]
        assert used(one_sync(new)) == [True, True]


def test_an_old_digest_with_the_disk_of_an_older_backup(disks: Disks) -> None:
    """Two backup disks take turns: each has a digest of its own, or none."""
    with PartitionedDisk("d16e5703", SIZES) as other:
        both = Disks(disks.source, disks.target, disks.folder)

        def to_other() -> dict[str, Any]:
            request = SyncRequest(SOURCE, "d16e5703", quiesce="none", engine="native", digest_dir=str(disks.folder))
            return sync.run(request, observe=lambda: both.machine).as_dict()

        for turn in range(3):
            fill(disks.source.partition(2), turn * MIB, 4096)
            assert used(both.sync()) == [turn > 0] * 2
            fill(disks.source.partition(2), turn * MIB + 8192, 4096)
            assert used(to_other()) == [turn > 0] * 2
            assert_equal(disks.source, other)
        assert used(both.sync()) == [True, True]
        assert_equal(disks.source, disks.target)


def test_another_file_system_on_the_target_is_noticed(disks: Disks) -> None:
    run("mkfs.ext4", "-q", disks.source.partition(2))
    fresh = Disks(disks.source, disks.target, disks.folder)
    fresh.sync()
    again = Disks(disks.source, disks.target, disks.folder)
    assert used(again.sync()) == [True, True]
    run("mkfs.ext4", "-q", disks.target.partition(2))
    result = Disks(disks.source, disks.target, disks.folder).sync()
    assert used(result) == [True, False]
    assert_equal(disks.source, disks.target)


def test_a_target_without_a_serial_number_is_always_compared(disks: Disks) -> None:
    nameless = tuple(replace(disk, backing_file=None) for disk in disks.machine.disks)
    disks.machine = replace(disks.machine, disks=nameless)
    for _run in range(2):
        result = disks.sync()
        assert used(result) == [False, False]
    assert "serial number" in result["partitions"][0]["notes"][-1]


@pytest.mark.parametrize("step", ["started:2", "advanced:1", "advanced:2", "verifying:2"])
def test_a_killed_run_leaves_no_digest_to_believe(disks: Disks, step: str) -> None:
    disks.sync()
    fill(disks.source.partition(2), 0, 10 * MIB)
    request = {"source": SOURCE, "target": TARGET, "engine": "native", "digest_dir": str(disks.folder)}
    with Driven(**request, hold_at=step) as driven:
        driven.wait_for("holding")
        driven.process.kill()
    result = disks.sync()
    assert used(result)[0] is (step != "advanced:1")
    assert used(result)[1] is (step in ("advanced:1", "started:2"))  # not yet begun
    for pair in result["partitions"]:
        assert pair["digest"]["used"] or "did not come to its end" in pair["digest"]["reason"]
    assert_equal(disks.source, disks.target)
    assert not list(disks.folder.glob("*.new"))


def test_a_target_that_does_not_keep_what_is_written_leaves_no_digest_to_believe(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blksync.engines.evidence import BlockEvidence
    from blksync.errors import VerificationError

    disks.sync()
    fill(disks.source.partition(2), 0, MIB)

    def fails(*_arguments: object) -> int:
        raise VerificationError("not kept")

    with monkeypatch.context() as patched:
        patched.setattr(BlockEvidence, "verify", fails)
        with pytest.raises(VerificationError):
            disks.sync()
    assert used(disks.sync()) == [True, False]


def test_check_mode_makes_no_file(disks: Disks) -> None:
    assert used(disks.sync(check=True)) == [False, False]
    assert not disks.folder.exists()
    disks.sync()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in disks.folder.iterdir()}
    fill(disks.source.partition(2), 0, 4096)
    assert used(disks.sync(check=True)) == [True, True]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in disks.folder.iterdir()} == before


@pytest.mark.needs("strace")
def test_check_mode_opens_nothing_for_writing(disks: Disks, tmp_path: Path) -> None:
    disks.sync()
    trace = tmp_path / "trace"
    request = {"source": SOURCE, "target": TARGET, "engine": "native", "digest_dir": str(disks.folder), "check": True}
    argv = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=%file,fallocate,pwrite64,pwritev,fsync"]
    argv += [sys.executable, "-B", "-m", "tests.support.sync_driver", json.dumps(request)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert used(json.loads(done.stdout.splitlines()[-1])) == [True, True], done.stderr
    calls = trace.read_text()
    assert str(disks.digests()[0]) in calls
    for line in calls.splitlines():
        if "/dev/null" not in line:
            assert not any(
                word in line
                for word in (
                    "O_WRONLY",
                    "O_RDWR",
                    "O_CREAT",
                    "mkdir",
                    "rename",
                    "unlink(",
                    "fallocate",
                    "pwrite",
                    "fsync",
                )
            ), line


def test_the_digest_is_one_that_the_program_reads(disks: Disks) -> None:
    from tests.support.blocksync_program import PROGRAM

    if not PROGRAM:
        pytest.skip("blocksync-fast is not installed")
    disks.sync()
    shown = run(PROGRAM, "--digest-info", f"--digest={disks.digests()[1]}")
    assert "Hash algo: XXH128" in shown
    theirs = disks.folder / "theirs"
    source = disks.source.partition(2)
    run(PROGRAM, f"--src={source}", "--make-digest", f"--digest={theirs}", "--algo=XXH128", "--block-size=4096")
    with DigestReader(str(theirs)) as one, DigestReader(str(disks.digests()[1])) as other:
        assert one.content() == other.content()


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        (lambda folder: (folder.mkdir(), folder.chmod(0o777)), "invalid_request", "chmod 700"),
        (lambda folder: folder.write_text(""), "invalid_request", "not a folder"),
        (lambda folder: folder.symlink_to("/proc/self/fd/nothing"), "storage", "Cannot write"),
        (lambda folder: folder.symlink_to("/proc/sys"), "storage", "Cannot write"),
    ],
)
def test_a_folder_that_cannot_be_used(disks: Disks, prepare: Callable[[Path], object], kind: str, words: str) -> None:
    before = content(disks.target.partition(1))
    prepare(disks.folder)
    with pytest.raises(BlksyncError, match=words) as caught:
        disks.sync()
    assert caught.value.kind == kind
    assert content(disks.target.partition(1)) == before


def test_a_folder_without_room_is_an_error_before_anything_is_written(disks: Disks) -> None:
    run("mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disks.folder.parent))
    try:
        disks.folder.mkdir(mode=0o700)
        disks.machine = discovery.observe()
        before = content(disks.target.partition(2))
        with pytest.raises(BlksyncError, match="No space left") as caught:
            disks.sync(partitions=(2,))
        assert caught.value.kind == "storage"
        assert content(disks.target.partition(2)) == before
        assert list(disks.folder.iterdir()) == []
    finally:
        run("umount", str(disks.folder.parent))


def test_a_folder_on_what_is_frozen_is_refused(disks: Disks, tmp_path: Path) -> None:
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    run("mkfs.ext4", "-q", disks.source.partition(2))
    run("mount", disks.source.partition(2), str(mountpoint))
    try:
        disks.machine = discovery.observe()
        with pytest.raises(BlksyncError, match="frozen or unmounted") as caught:
            disks.sync(digest_dir=str(mountpoint / "digests"), quiesce="auto")
        assert [refusal.code for refusal in getattr(caught.value, "refusals", ())] == ["digest_folder_quiesced"]
    finally:
        run("umount", str(mountpoint))
