# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else lets the source go on while it is copied: the copy is worth nothing and the sync says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disks import run
from tests.support.live_driver import DrivenLive
from tests.support.mounted import MountedPair, thaw, written_to
from tests.support.quiesce_driver import DrivenQuiesce

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[MountedPair]:
    with MountedPair(tmp_path) as pair:
        yield pair


def assert_not_still(end: dict, words: str) -> None:
    assert end.get("kind") == "quiesce", end
    assert words in end["msg"]
    assert "inconsistent" in end["msg"]
    assert not end["report"]["partitions"][-1]["complete"]


def test_thawed(pair: MountedPair) -> None:
    before = pair.mounts()
    with DrivenQuiesce(**pair.request(hold_in="quiesced:2")) as driven:
        driven.wait_for("holding")
        thaw(pair.root)
        (pair.root / "meanwhile").write_text("written")
        driven.go_on()
        assert_not_still(driven.end(), "%s on %s was thawed" % (pair.root, pair.source.partition(2)))
    pair.assert_restored(before, within=0)


def test_read_only_before_and_made_writable(pair: MountedPair) -> None:
    run("mount", "-o", "remount,ro", str(pair.boot))
    with DrivenQuiesce(**pair.request(partitions=[1], hold_at="advanced:1")) as driven:
        driven.wait_for("holding")
        run("mount", "-o", "remount,rw", str(pair.boot))
        driven.go_on()
        assert_not_still(driven.end(), "%s was read-only" % pair.boot)


@pytest.mark.parametrize("quiesce", ["none", "auto"])
def test_read_only_before_and_still(pair: MountedPair, quiesce: str) -> None:
    run("mount", "-o", "remount,ro", str(pair.boot))
    with DrivenQuiesce(**pair.request(partitions=[1], quiesce=quiesce)) as driven:
        assert driven.end()["step"] == "done"


def test_unmounted_before_the_copy_and_mounted_for_writing(pair: MountedPair) -> None:
    run("mount", "-o", "remount,ro", str(pair.boot))
    with DrivenQuiesce(**pair.request(partitions=[1], hold_at="advanced:1")) as driven:
        driven.wait_for("holding")
        run("umount", str(pair.boot))
        run("mount", pair.source.partition(1), str(pair.boot))
        driven.go_on()
        assert_not_still(driven.end(), "%s was read-only" % pair.boot)


def test_made_read_only_by_the_sync_and_writable_by_somebody_else(pair: MountedPair) -> None:
    before = pair.mounts()
    with open(pair.boot / "kernel", "rb"), DrivenQuiesce(**pair.request(hold_in="quiesced:1")) as driven:
        (entry,) = driven.wait_for("quiesced:1")["report"]
        assert entry["action"] == "remounted_read_only"
        run("mount", "-o", "remount,rw", str(pair.boot))
        driven.go_on()
        assert_not_still(driven.end(), "%s was made writable" % pair.boot)
    pair.assert_restored(before, within=0)


def test_a_file_that_is_open_for_writing_is_found_before_anything_is_copied(pair: MountedPair) -> None:
    """With ext4 as what cannot be frozen its turn is the second."""
    before = pair.mounts()
    with written_to(pair.root / "log") as holder, DrivenQuiesce(**pair.request(unfreezable=["ext4"])) as driven:
        end = driven.end()
    assert end["kind"] == "quiesce"
    assert "%s can be neither unmounted" % pair.root in end["msg"]
    assert "process %d (" % holder.pid in end["msg"]
    assert end["report"]["partitions"] == []
    assert pair.mounts() == before


def test_unmounted_by_itself_before_its_turn(pair: MountedPair) -> None:
    """An ESP that is mounted on demand goes after a while without use, and is not mounted again by the sync."""
    with DrivenQuiesce(**pair.request(hold_in="quiescing:1")) as driven:
        driven.wait_for("holding")
        run("umount", str(pair.boot))
        before = pair.mounts()
        driven.go_on()
        end = driven.end()
    assert end["step"] == "done", end
    assert [entry["action"] for entry in end["partitions"][0]["quiesce"]] == ["unmounted"]
    pair.assert_restored(before, within=0)
    run("mount", pair.source.partition(1), str(pair.boot))
    pair.assert_copied()


@pytest.mark.needs("tracefs")
def test_unmounted_by_itself_before_the_last_moment(pair: MountedPair) -> None:
    options = pair.request(quiesce="auto", hold_in="between")
    with DrivenLive(**options) as driven:
        driven.wait_for("holding")
        run("umount", str(pair.boot))
        before = pair.mounts()
        driven.go_on()
        end = driven.end()
    assert end["step"] == "done", end
    assert end["partitions"][1]["live"]["used"], end["partitions"]
    pair.assert_restored(before, within=0)
    run("mount", pair.source.partition(1), str(pair.boot))
    pair.assert_copied()
