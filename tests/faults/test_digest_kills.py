# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Syncs with a digest, killed at any moment: the next run with that digest ends equal."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from blksync.options import ImageRequest
from tests.support.digest_images import Images, on_disk, overwrite, used
from tests.support.disks import MIB
from tests.support.sync_driver import Driven

RUNS = {"sample": 6, "full": 100, "long": 2000}
LONGEST = 0.4  # seconds: longer than a run takes on an idle machine, from its first step on


@pytest.fixture
def images() -> Iterator[Images]:
    with on_disk() as directory:
        yield Images(directory)


@pytest.mark.timeout(900)
def test_killed_at_random_the_next_run_with_that_digest_ends_equal(images: Images, depth: str) -> None:
    chance = random.Random(depth)
    killed = valid = 0
    for number in range(RUNS[depth]):
        for _change in range(chance.randrange(4)):
            overwrite(images.source, chance.randrange(15 * MIB), os.urandom(chance.choice([1, 5000, MIB])))
        with Driven(ImageRequest, **images.options()) as driven:
            driven.wait_for(chance.choice(["started:0", "advanced:0"]))
            time.sleep(chance.uniform(0, LONGEST) if number % 2 else chance.uniform(0, 0.02))
            killed += driven.process.poll() is None
            driven.process.kill()
        valid += used(images.sync())
        again = images.sync()
        assert (again["changed"], used(again)) == (False, True)
        assert not [name for name in os.listdir(images.directory) if name.endswith(".new")]
    assert killed >= RUNS[depth] // 3  # else the machine is so fast that this shows nothing
    if depth != "sample":
        assert 0 < valid < RUNS[depth]  # some digests outlived the killing, some did not
