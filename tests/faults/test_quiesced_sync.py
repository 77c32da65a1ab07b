# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole sync of a main disk in use: what holds still, what is copied, what is put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.blocksync_program import FakeProgram
from tests.support.disks import run
from tests.support.mounted import MountedPair, freeze, thaw, written_to
from tests.support.quiesce_driver import DrivenQuiesce
from tests.support.writer import Writer

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "e2fsck")

ENGINES = ["native", pytest.param("blocksync_fast", marks=pytest.mark.needs("blocksync-fast"))]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path) as pair:
        yield pair


def sync(pair: MountedPair, **options: object) -> dict:
    with DrivenQuiesce(**pair.request(**options)) as driven:
        return driven.end()


def test_a_mounted_source_is_copied_and_put_back(pair: MountedPair) -> None:
    before = pair.mounts()
    first = sync(pair)
    assert first["step"] == "done", first
    assert first["changed"]
    assert (pair.mounts(), pair.frozen()) == (before, [])
    pair.assert_copied()
    boot, root = (partition["quiesce"] for partition in first["partitions"])
    assert [(entry["action"], entry["mountpoints"]) for entry in boot] == [("unmounted", [str(pair.boot)])]
    assert [(entry["action"], entry["mountpoints"]) for entry in root] == [("frozen", [str(pair.root)])]
    assert 0 < root[0]["seconds"] < first["partitions"][1]["seconds"]
    assert 0 < root[0]["frozen_seconds"] < root[0]["seconds"]
    assert boot[0]["frozen_seconds"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_stale_cache_a_second_sync_of_a_mounted_source_sees_what_changed(pair: MountedPair, engine: str) -> None:
    sync(pair, engine=engine)
    # The mounted file system's cache of the device is now what the first sync read.
    (pair.root / "new").write_bytes(b"new" * 1000)
    (pair.root / "system").write_bytes(b"changed")
    (pair.boot / "new").write_bytes(b"boot" * 1000)
    # Nobody has called sync(2): what is only in memory has to be copied as well.
    second = sync(pair, engine=engine)
    assert second["changed"]
    pair.assert_copied()


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("side", ["source", "target"])
def test_what_only_the_cache_shows_is_refused_untouched(pair: MountedPair, side: str, engine: str, check: bool) -> None:
    """ext4 pins pages of the cache for its metadata: no ioctl drops them, and data blocks in them are stale."""
    before, held = pair.mounts(), pair.target.file.read_bytes()
    refusing = getattr(pair, side).partition(2)
    with DrivenQuiesce(**pair.request(engine=engine, check=check, indirect=refusing)) as driven:
        failed = driven.end()
    assert failed["kind"] == "direct_io", failed
    assert "%s cannot be read and written past the page cache" % refusing in failed["msg"]
    assert (pair.mounts(), pair.frozen()) == (before, [])
    assert pair.target.file.read_bytes() == held


@pytest.mark.parametrize("check", [False, True])
def test_a_program_that_cannot_start_fails_before_anything(
    pair: MountedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    broken = FakeProgram(tmp_path, "kill -ILL $$").path  # it prints its version, and dies when it copies
    monkeypatch.setenv("BLOCKSYNC_FAST", str(broken))
    before, held = pair.mounts(), pair.target.file.read_bytes()
    with DrivenQuiesce(**pair.request(engine="blocksync_fast", check=check)) as driven:
        failed = driven.end()
    assert (failed["step"], failed["kind"]) == ("failed", "engine"), failed
    assert "The program %s cannot be used" % broken in failed["msg"]
    assert "SIGILL" in failed["msg"]
    assert (pair.mounts(), pair.frozen()) == (before, [])
    assert pair.target.file.read_bytes() == held


def test_only_what_is_synced_is_touched(pair: MountedPair) -> None:
    with DrivenQuiesce(**pair.request(partitions=[1], hold_in="quiesced:1")) as driven:
        driven.wait_for("holding")
        assert not pair.boot.is_mount()
        (pair.root / "written meanwhile").write_text("yes")
        driven.go_on()
        assert driven.end()["step"] == "done"
    assert pair.boot.is_mount()


def test_each_pair_is_quiesced_until_the_last_one_is_read(pair: MountedPair) -> None:
    before = pair.mounts()
    with DrivenQuiesce(**pair.request(hold_in="quiescing:2")) as driven:
        driven.wait_for("holding")
        assert not pair.boot.is_mount()  # the first has been copied
        assert pair.frozen() == []
        driven.go_on()
        assert driven.end()["step"] == "done"
    assert pair.mounts() == before


def test_verification_is_over_the_restored_source(pair: MountedPair) -> None:
    with DrivenQuiesce(**pair.request(hold_in="restored:2", verify="full")) as driven:
        driven.wait_for("holding")
        assert pair.frozen() == []
        driven.go_on()
        driven.wait_for("verifying:2")
        assert driven.end()["step"] == "done"


def test_a_source_that_is_written_to_all_the_time(pair: MountedPair) -> None:
    with Writer(pair.root) as writer, DrivenQuiesce(**pair.request(hold_in="quiescing:2")) as driven:
        driven.wait_for("holding")
        writer.wait_for_files(20)
        before = writer.durable()  # each of these was fsynced before the freeze
        driven.go_on()
        end = driven.end()
        assert end["step"] == "done"
        writer.wait_for_files(len(before) + 5)  # and it writes on
    (entry,) = end["partitions"][1]["quiesce"]
    assert entry["action"] == "frozen"
    partition = pair.target.partition(2)
    run("blockdev", "--flushbufs", partition)
    run("e2fsck", "-fn", partition)
    run("mount", "-o", "ro,noload", partition, str(pair.copy))
    try:
        assert before
        for name, content in before.items():
            assert (pair.copy / name).read_bytes() == content
    finally:
        run("umount", str(pair.copy))


def test_a_source_is_put_back_before_the_target_is_flushed(pair: MountedPair) -> None:
    before = pair.mounts()
    for number in (1, 2):
        with DrivenQuiesce(**pair.request(partitions=[number], hold_in="flushing")) as driven:
            driven.wait_for("holding")
            assert (pair.mounts(), pair.frozen()) == (before, [])
            driven.go_on()
            assert driven.end()["step"] == "done"
    pair.assert_copied()


def test_check_mode_unmounts_and_freezes_nothing(pair: MountedPair) -> None:
    before = pair.mounts()
    with DrivenQuiesce(**pair.request(check=True, hold_at="advanced:2")) as driven:
        driven.wait_for("holding")
        assert (pair.mounts(), pair.frozen()) == (before, [])
        driven.go_on()
        assert driven.end()["step"] == "done"


def test_none_refuses_a_source_in_use_and_writes_nothing(pair: MountedPair) -> None:
    end = sync(pair, quiesce="none")
    assert end["kind"] == "refused"
    assert str(pair.boot) in end["msg"]
    assert str(pair.root) in end["msg"]
    run("mount", "-o", "remount,ro", str(pair.boot))
    run("mount", "-o", "remount,ro", str(pair.root))
    assert sync(pair, quiesce="none")["step"] == "done"
    pair.assert_copied()


def test_what_somebody_else_has_frozen_is_neither_copied_nor_thawed(pair: MountedPair) -> None:
    freeze(pair.root)
    try:
        end = sync(pair, partitions=[2])
        assert end["kind"] == "quiesce"
        assert "restore-state" in end["msg"]
        assert pair.frozen() == [pair.root]
    finally:
        thaw(pair.root)
    assert sync(pair)["step"] == "done"


def test_a_busy_file_system_is_made_read_only(pair: MountedPair) -> None:
    before = pair.mounts()
    with open(pair.boot / "kernel", "rb"), DrivenQuiesce(**pair.request(hold_in="quiesced:1")) as driven:
        (entry,) = driven.wait_for("quiesced:1")["report"]
        assert entry["action"] == "remounted_read_only"
        with pytest.raises(OSError, match="Read-only"):
            (pair.boot / "new").touch()
        driven.go_on()
        assert driven.end()["step"] == "done"
    assert pair.mounts() == before
    pair.assert_copied()


def test_a_file_system_that_is_being_written_to_fails_the_sync_which_names_the_writer(pair: MountedPair) -> None:
    before = pair.mounts()
    with written_to(pair.boot / "log") as holder:
        end = sync(pair)
    assert end["kind"] == "quiesce"
    assert "process %d (" % holder.pid in end["msg"]
    assert (pair.mounts(), pair.frozen()) == (before, [])
    assert end["report"]["bytes_written"] == 0
    assert sync(pair)["step"] == "done"
