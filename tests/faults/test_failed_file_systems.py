# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source whose file system had an error or was shut down: one clear error, or read-only and copied as such."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blksync.discovery.model import Machine
from blksync.errors import QuiesceError
from blksync.quiesce.actions import freeze
from blksync.quiesce.client import Quiescer
from blksync.quiesce.plan import steps_for
from blksync.system.mountinfo import Mount
from tests.support import machines
from tests.support.disks import MIB, SECTOR, run
from tests.support.mounted import MountedPair, wait_for
from tests.support.quiesce_driver import DrivenQuiesce

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "xfs_io")
XFS = pytest.param("xfs", marks=pytest.mark.needs("mkfs.xfs"))
MAKE = {"ext4": ("mkfs.ext4", "-q"), "xfs": ("mkfs.xfs", "-q")}


@contextmanager
def mounted(directory: Path, fstype: str, options: str = "defaults") -> Iterator[MountedPair]:
    size = 320 * MIB if fstype == "xfs" else 32 * MIB
    with MountedPair(directory, (8 * MIB // SECTOR, size // SECTOR), MAKE[fstype], options) as pair:
        try:
            yield pair
        finally:
            run("umount", str(pair.root))  # what was shut down cannot be opened, and so not be thawed


def shut_down(pair: MountedPair) -> None:
    run("xfs_io", "-x", "-c", "shutdown", str(pair.root))


def fail(pair: MountedPair) -> None:
    """As if ext4 had found something wrong in its metadata."""
    Path("/sys/fs/ext4", os.path.basename(pair.source.partition(2)), "trigger_fs_error").write_text("1")
    wait_for(lambda: root_of(pair).holds_still)


def root_of(pair: MountedPair) -> Mount:
    (mount,) = [mount for mount in pair._mounted() if mount.mountpoint == str(pair.root)]
    return mount


def assert_clear(end: dict, pair: MountedPair, fstype: str, words: str) -> None:
    assert end.get("kind") == "quiesce", end
    assert "%s on %s (%s): %s." % (pair.root, pair.source.partition(2), fstype, words) in end["msg"]
    assert "dmesg" in end["msg"]
    assert "unexpectedly" not in end["msg"]


@pytest.mark.parametrize("fstype", ["ext4", XFS])
@pytest.mark.parametrize("hold_in", ["", "guardian", "quiescing:2"])
def test_a_file_system_that_was_shut_down_is_named(tmp_path: Path, fstype: str, hold_in: str) -> None:
    with mounted(tmp_path, fstype) as pair:
        if not hold_in:
            shut_down(pair)
        with DrivenQuiesce(**pair.request(partitions=[2], hold_in=hold_in)) as driven:
            if hold_in:
                driven.wait_for("holding")
                shut_down(pair)
                driven.go_on()
            assert_clear(driven.end(), pair, fstype, "Input/output error")


def test_an_error_just_before_the_freeze_is_named(tmp_path: Path) -> None:
    with mounted(tmp_path, "ext4", "errors=remount-ro") as pair:
        with DrivenQuiesce(**pair.request(partitions=[2], hold_in="quiescing:2")) as driven:
            driven.wait_for("holding")
            fail(pair)
            driven.go_on()
            assert_clear(driven.end(), pair, "ext4", "Read-only file system")
        # By the next run it counts as read-only.
        with DrivenQuiesce(**pair.request(partitions=[2], allow_damaged_source=True)) as driven:
            assert driven.end()["step"] == "done"


@pytest.mark.parametrize("quiesce", ["none", "auto"])
def test_read_only_after_an_error_is_read_only(tmp_path: Path, quiesce: str) -> None:
    with mounted(tmp_path, "ext4", "errors=remount-ro") as pair:
        fail(pair)
        request = pair.request(partitions=[2], quiesce=quiesce, allow_damaged_source=True)
        with DrivenQuiesce(**request) as driven:
            end = driven.end()
    assert end["step"] == "done", end
    assert end["partitions"][0]["quiesce"] == []


@pytest.mark.parametrize("error", [KeyError("what nobody expected"), MemoryError(), ValueError("odd")])
def test_whatever_fails_in_the_guardian_the_source_is_put_back(tmp_path: Path, error: Exception) -> None:
    with MountedPair(tmp_path) as pair, pytest.MonkeyPatch.context() as patch:
        before = pair.mounts()
        do = freeze.Freeze.do

        def fail_after(measure: freeze.Freeze) -> None:
            do(measure)
            raise error

        patch.setattr(freeze.Freeze, "do", fail_after)
        root = root_of(pair)
        partition = machines.partition("x", 2, 1, path=pair.source.partition(2), devno=root.devno, mounts=(root,))
        plan = steps_for(Machine((), tuple(pair._mounted())), partition, "auto")
        with Quiescer(60, "a test", str(tmp_path / "state")) as quiescer:
            quiescer.prepare([plan])
            with pytest.raises(QuiesceError, match=type(error).__name__) as caught, quiescer.quiesced(plan):
                pass
            attempts = quiescer.attempts
        pair.assert_restored(before, within=0)
        assert "Everything was put back" in caught.value.message
        (attempt,) = attempts
        assert attempt.frozen_seconds > 0
        assert not list((tmp_path / "state").iterdir())
