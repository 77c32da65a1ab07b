# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which mounts are made again does not depend on numbers that the kernel gives twice."""

from __future__ import annotations

import itertools

import pytest

from blksync.discovery.model import Machine
from blksync.quiesce.mount_order import contains, order_of, related
from blksync.system.mountinfo import Mount
from tests.support.machines import mount


def made(name: str, number: int, *propagation: str, root: str = "/", parent: int = 1) -> Mount:
    return mount("8:2", f"/{name}", mount_id=number, parent_id=parent, propagation=propagation, root=root)


LEADER = made("leader", 90, "shared:5")
FOLLOWER = made("follower", 10, "master:5")
LAST = made("last", 5, "master:7")
BOTH = made("both", 70, "shared:7", "master:5")
DIRECTORY = made("directory", 3, "shared:5", root="/sub")
BELOW = made("leader/below", 2, parent=90)


def ordered(*mounts: Mount) -> list[Mount]:
    return sorted(mounts, key=order_of(Machine((), mounts), {each.mount_id: each for each in mounts}))


def test_all_that_a_mount_needs_comes_before_it() -> None:
    needed = [(LEADER, FOLLOWER), (LEADER, BOTH), (BOTH, LAST), (LEADER, DIRECTORY), (LEADER, BELOW)]
    for mounts in itertools.permutations([LEADER, FOLLOWER, LAST, BOTH, DIRECTORY, BELOW]):
        found = ordered(*mounts)
        assert all(found.index(before) < found.index(after) for before, after in needed), mounts


def test_else_the_order_is_the_kernels() -> None:
    first, second = made("first", 9, "shared:1"), made("second", 8, "shared:1")
    assert ordered(first, second) == [first, second]
    assert ordered(second, first) == [second, first]


def test_groups_that_follow_each_other_end() -> None:
    one, other = made("one", 1, "shared:1", "master:2"), made("other", 2, "shared:2", "master:1")
    assert len(ordered(one, other)) == 2


@pytest.mark.parametrize(
    ("source", "wanted", "is_related", "is_inside"),
    [
        (LEADER, FOLLOWER, True, True),
        (FOLLOWER, LEADER, False, True),
        (LEADER, DIRECTORY, True, True),
        (DIRECTORY, LEADER, True, False),
        (BOTH, LAST, True, True),
        (LEADER, LAST, False, True),
        (DIRECTORY, made("subtle", 4, "shared:5", root="/subtle"), True, False),
    ],
)
def test_what_a_mount_can_be_bound_from(source: Mount, wanted: Mount, is_related: bool, is_inside: bool) -> None:
    assert (related(source, wanted), contains(source, wanted)) == (is_related, is_inside)
