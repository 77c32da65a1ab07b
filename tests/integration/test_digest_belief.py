# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest on real image files: when it is used, and that this never costs a byte."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blksync.engines.write_log import WriteLog
from blksync.errors import VerificationError
from blksync.options import ImageRequest
from tests.support.digest_images import SIZE, Images, on_disk, overwrite, reason, used
from tests.support.disks import MIB
from tests.support.sync_driver import Driven

pytestmark = pytest.mark.needs("root")
ENGINES = ["native", "blocksync_fast"]


@pytest.fixture
def images() -> Iterator[Images]:
    with on_disk() as directory:
        yield Images(directory)


def swap_for_link(path: Path) -> None:
    other = path.with_suffix(".elsewhere")
    path.rename(other)
    path.symlink_to(other)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda images: images.edit_record(state="unfinished"), "unfinished"),
        (lambda images: images.edit_record(compared=int(time.time()) - 31 * 24 * 3600), "comparison_due"),
        (lambda images: images.edit_record(runs=99), "comparison_due"),
        (lambda images: images.edit_record(key={"holds": {"inode": 1234}}), "target_changed"),
        (lambda images: images.edit_record(key={"target": "/1234"}), "other_target"),
        (lambda images: images.edit_record(key={"size": 4096}), "other_size"),
        (lambda images: images.edit_record(key={"engine": "native 0.0.1"}), "other_engine"),
        (lambda images: images.edit_record(format=2), "record_unreadable"),
        (lambda images: images.record().unlink(), "record_unreadable"),
        (lambda images: images.record().write_text("{"), "record_unreadable"),
        (lambda images: images.digest().unlink(), "digest_invalid"),
        (lambda images: os.truncate(images.digest(), 600), "digest_invalid"),
        (lambda images: overwrite(images.digest(), 24, bytes(8)), "digest_invalid"),
        (lambda images: overwrite(images.digest(), 700, b"x"), "digest_invalid"),
        (lambda images: overwrite(images.digest(), 56, (9999).to_bytes(8, "little")), "digest_invalid"),
        (lambda images: swap_for_link(images.digest()), "digest_invalid"),
    ],
)
def test_whatever_does_not_fit_means_a_full_comparison_and_a_new_digest(
    images: Images, damage: Callable[[Images], object], code: str
) -> None:
    images.sync()
    damage(images)
    assert reason(images.sync()) == code
    assert used(images.sync())


def test_the_digest_of_another_image_is_not_used(images: Images, tmp_path: Path) -> None:
    """The digest's file is exchanged, its record is not."""
    images.sync()
    (tmp_path / "other").mkdir()
    other = Images(tmp_path / "other")
    other.sync()
    shutil.copyfile(other.digest(), images.digest())
    assert reason(images.sync()) == "digest_invalid"


def test_old_digest_new_image_upstream_issue_18(images: Images) -> None:
    """The image is lost and a new one takes its place: nothing of it is up to date."""
    images.sync()
    assert used(images.sync())
    images.target.unlink()
    images.target.write_bytes(os.urandom(SIZE))
    assert reason(images.sync()) == "target_changed"
    images.target.unlink()
    assert reason(images.sync(create=True)) == "target_changed"
    assert used(images.sync())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_without_the_digest_takes_the_belief_from_it(images: Images, engine: str) -> None:
    before = images.source.read_bytes()
    images.sync(engine=engine)
    overwrite(images.source, 8 * MIB + 8192, os.urandom(4096))
    images.sync(digest_dir="")
    images.source.write_bytes(before)  # what the digest knows, but the target no longer holds
    third = images.sync(engine=engine)
    assert reason(third) == "target_changed"
    assert third["bytes_written"] == 4096


@pytest.mark.parametrize("step", ["started:0", "advanced:0", "verifying:0"])
def test_a_killed_run_leaves_no_valid_digest(images: Images, step: str) -> None:
    images.sync()
    overwrite(images.source, 0, os.urandom(10 * MIB))
    with Driven(ImageRequest, **images.options(), hold_at=step) as driven:
        driven.wait_for("holding")
        driven.process.kill()
    result = images.sync()
    assert used(result) is (step == "started:0")  # not yet begun
    assert used(result) or reason(result) == "unfinished"
    assert not list(images.directory.glob("*.new"))


def test_a_target_that_does_not_keep_what_is_written_leaves_no_valid_digest(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.sync()
    overwrite(images.source, 0, os.urandom(MIB))

    def fails(*_arguments: object) -> int:
        raise VerificationError("not kept")

    with monkeypatch.context() as patched:
        patched.setattr(WriteLog, "verify", fails)
        with pytest.raises(VerificationError):
            images.sync()
    assert not used(images.sync())
