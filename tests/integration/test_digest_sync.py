# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest on real block devices: what it saves, and which files it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blksync import discovery
from blksync.digest import DigestReader
from blksync.digest_witness import places
from blksync.errors import BlksyncError
from blksync.plan import Pair
from blksync.progress import Progress
from tests.support import digest_disks
from tests.support.blocks import assert_equal, content, fill
from tests.support.digest_disks import SIZES, SOURCE, TARGET, Disks, Hardware, used
from tests.support.disks import MIB, SECTOR, run
from tests.support.sync_driver import ROOT

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SECOND_SIZE = SIZES[1] * SECTOR
TAIL = SECOND_SIZE % 4096
ENGINES = ["native", "blocksync_fast"]


@pytest.fixture(scope="module")
def hardware() -> Iterator[Hardware]:
    with digest_disks.hardware() as made:
        yield made


@pytest.fixture
def disks(hardware: Hardware, tmp_path: Path) -> Disks:
    return digest_disks.filled(hardware, tmp_path / "digests")


def read_sectors(path: str) -> int:
    """How many sectors were read from a block device since it is there (Documentation/block/stat.rst)."""
    return int(Path("/sys/class/block", os.path.basename(path), "stat").read_text().split()[2])


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
    for _attempt in range(10):
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
