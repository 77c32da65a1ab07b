# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest on real image files: what it saves, and which files it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blksync.errors import BlksyncError, RefusedError
from blksync.formats.digest_file import DigestReader
from blksync.options import ImageRequest
from blksync.sync import image_sync
from tests.support.ansible import run_module
from tests.support.digest_images import SIZE, Images, on_disk, overwrite, reason, used
from tests.support.disks import MIB, LoopDevice, run
from tests.support.sync_driver import ROOT

pytestmark = pytest.mark.needs("root")
TAIL = SIZE % 4096
ENGINES = ["native", "blocksync_fast"]


@pytest.fixture
def images() -> Iterator[Images]:
    with on_disk() as directory:
        yield Images(directory)


@pytest.mark.parametrize("engine", ENGINES)
def test_first_second_and_changed_run(images: Images, engine: str) -> None:
    first = images.sync(engine=engine)
    assert (first["changed"], reason(first)) == (True, "no_digest")
    second = images.sync(engine=engine)
    assert (second["changed"], second["bytes_written"], used(second)) == (False, 0, True)
    for offset in (0, 5 * MIB, SIZE - TAIL - 4096, SIZE - 100):
        overwrite(images.source, offset, os.urandom(100))
    predicted = images.sync(engine=engine, check=True)
    third = images.sync(engine=engine)
    for result in (predicted, third):
        assert result["bytes_written"] == 3 * 4096 + TAIL
        assert (result["partitions"][0]["blocks_changed"], used(result)) == (4, True)
    assert third["partitions"][0]["verified"]["bytes_read"] == 3 * 4096 + TAIL
    assert images.sync(engine=engine)["changed"] is False
    assert sorted(path.suffix for path in images.directory.iterdir()) == [".digest", ".json"]


@pytest.mark.needs("strace")
@pytest.mark.parametrize("check", [False, True])
def test_with_a_digest_the_image_is_not_read_but_where_it_was_written(images: Images, check: bool) -> None:
    images.sync()
    overwrite(images.source, 8192, b"x")
    expected = 0 if check else 4096
    result, calls = traced(images, "preadv,preadv2,pread64,read", check=check)
    assert (used(result), result["bytes_written"]) == (True, 4096)
    returned = [int(line.rpartition("= ")[2]) for line in calls if f"<{images.target}>" in line]
    assert sum(returned) == expected


def traced(images: Images, calls: str, **options: object) -> tuple[dict[str, object], list[str]]:
    """The result of a sync in a process of its own, and its system calls, one a line, with the files' names."""
    trace = images.directory.parent / "trace"
    request = {**images.options(**options), "request": "ImageRequest"}
    argv = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", f"trace={calls}"]
    argv += [sys.executable, "-B", "-m", "tests.support.sync_driver", json.dumps(request)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1]), trace.read_text().splitlines()


def test_other_options_mean_a_full_comparison(images: Images) -> None:
    images.sync()
    assert not used(images.sync(block_size=65536))
    assert used(images.sync(block_size=65536))
    assert not used(images.sync(block_size=65536, algorithm="SHA256"))
    assert used(images.sync(block_size=65536))  # auto stays with what is there
    assert json.loads(images.record().read_text())["key"]["algorithm"] == "SHA256"
    everything = images.sync(block_size=65536, compare=False)
    assert (used(everything), everything["bytes_written"]) == (False, SIZE)
    assert used(images.sync(block_size=65536))


def test_every_nth_run_compares_in_full(images: Images) -> None:
    assert [used(images.sync(digest_full_every=3)) for _run in range(7)] == [False, True, True] * 2 + [False]
    assert [used(images.sync(digest_full_every=1)) for _run in range(2)] == [False, False]


def test_check_mode_makes_no_file(images: Images) -> None:
    assert not used(images.sync(check=True))
    assert not images.directory.exists()
    images.sync()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in images.directory.iterdir()}
    overwrite(images.source, 0, os.urandom(4096))
    assert used(images.sync(check=True))
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in images.directory.iterdir()} == before


@pytest.mark.needs("strace")
def test_check_mode_opens_nothing_for_writing(images: Images) -> None:
    images.sync()
    result, calls = traced(images, "%file,fallocate,pwrite64,pwritev,fsync", check=True)
    assert used(result)
    assert any(str(images.digest()) in line for line in calls)
    writing = ("O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "rename", "unlink(", "fallocate", "pwrite", "fsync")
    for line in calls:
        assert "/dev/null" in line or not any(word in line for word in writing), line


def test_the_digest_is_one_that_the_program_reads(images: Images) -> None:
    from tests.support.blocksync_program import PROGRAM

    if not PROGRAM:
        pytest.skip("blocksync-fast is not installed")
    images.sync()
    shown = run(PROGRAM, "--digest-info", f"--digest={images.digest()}")
    assert "Hash algo: XXH128" in shown
    theirs = images.directory / "theirs"
    run(PROGRAM, f"--src={images.source}", "--make-digest", f"--digest={theirs}", "--algo=XXH128", "--block-size=4096")
    with DigestReader(str(theirs)) as one, DigestReader(str(images.digest())) as other:
        assert one.content() == other.content()


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        (lambda directory: (directory.mkdir(), directory.chmod(0o777)), "invalid_request", "chmod 700"),
        (lambda directory: directory.write_text(""), "invalid_request", "not a directory"),
        (lambda directory: directory.symlink_to("/proc/self/fd/nothing"), "storage", "Cannot write"),
        (lambda directory: directory.symlink_to("/proc/sys"), "storage", "Cannot write"),
    ],
)
def test_a_dir_that_cannot_be_used(images: Images, prepare: Callable[[Path], object], kind: str, words: str) -> None:
    before = images.target.read_bytes()
    prepare(images.directory)
    with pytest.raises(BlksyncError, match=words) as caught:
        images.sync()
    assert caught.value.kind == kind
    assert images.target.read_bytes() == before


def test_a_dir_without_room_is_an_error_before_anything_is_written(images: Images) -> None:
    before = images.target.read_bytes()
    images.directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "tmpfs", str(images.directory))
    try:
        with pytest.raises(BlksyncError, match="No space left") as caught:
            images.sync()
        assert caught.value.kind == "storage"
        assert images.target.read_bytes() == before
        assert list(images.directory.iterdir()) == []
    finally:
        run("umount", str(images.directory))


@pytest.mark.needs("loop-devices", "mkfs.ext4")
def test_a_dir_on_what_is_frozen_is_refused(images: Images, tmp_path: Path) -> None:
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    with LoopDevice(32 * MIB) as device:
        run("mkfs.ext4", "-q", device.path)
        run("mount", device.path, str(mountpoint))
        try:
            directory = str(mountpoint / "digests")
            with pytest.raises(RefusedError, match="frozen or unmounted") as caught:
                image_sync.run(ImageRequest(device.path, str(tmp_path / "new.img"), create=True, digest_dir=directory))
            assert [refusal.code for refusal in caught.value.refusals] == ["digest_dir_quiesced"]
        finally:
            run("umount", str(mountpoint))


@pytest.mark.needs("loop-devices")
@pytest.mark.parametrize("check", [False, True])
def test_a_device_as_target_is_refused_with_all_else(images: Images, check: bool) -> None:
    """A device does not report that something else wrote to it; whatever is copied to it is compared."""
    with LoopDevice(SIZE // 4096 * 4096) as target, LoopDevice(SIZE // 4096 * 4096) as source:
        before = target.bytes_written()
        for path in (str(images.source), source.path):
            options = {"source": path, "target": target.path, "digest_dir": str(images.directory), "keep": 1}
            result = run_module("image_sync", options, check=check)
            codes = [refusal["code"] for refusal in result["refusals"]]
            size = ["size_differs"] if path == str(images.source) else []
            assert codes == [*size, "needs_image_file", "digest_needs_image_file"]
            assert result["kind"] == "refused"
        assert target.bytes_written() == before
        assert not images.directory.exists()
