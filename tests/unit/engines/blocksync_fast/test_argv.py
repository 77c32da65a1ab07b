# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exact command lines of blocksync-fast."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.engines.blocksync_fast.argv import sync_argv, version_argv
from blksync.engines.blocksync_fast.buffer import geometry


def test_version() -> None:
    assert version_argv("/usr/bin/blocksync-fast") == ["/usr/bin/blocksync-fast", "-V"]


def test_sync() -> None:
    argv = sync_argv("/usr/bin/blocksync-fast", "/proc/self/fd/5", "/proc/self/fd/6", geometry(1 << 20, 4096))
    assert argv == [
        "/usr/bin/blocksync-fast",
        "--src=/proc/self/fd/5",
        "--dst=/proc/self/fd/6",
        "--block-size=4096",
        "--buffer-size=1044480",
        "--progress",
    ]


@pytest.mark.parametrize("path", ["-", "", "sda1", "--force", "./disk.img"])
def test_a_path_that_is_not_absolute_is_refused(path: str) -> None:
    plan = geometry(1 << 20, 4096)
    with pytest.raises(ValueError, match="not an absolute path"):
        sync_argv("/usr/bin/blocksync-fast", path, "/dev/b", plan)
    with pytest.raises(ValueError, match="not an absolute path"):
        sync_argv("/usr/bin/blocksync-fast", "/dev/a", path, plan)


@given(st.text(min_size=1), st.integers(1, 1 << 50), st.sampled_from([512, 4096, 65536]))
def test_a_path_is_one_argument_and_sizes_are_plain_numbers(name: str, size: int, block: int) -> None:
    argv = sync_argv("/usr/bin/blocksync-fast", "/dev/" + name, "/dev/b", geometry(size, block))
    assert len(argv) == 6
    assert argv[1] == "--src=/dev/" + name
    for argument, option in zip(argv[3:5], ("--block-size=", "--buffer-size="), strict=True):
        assert argument.startswith(option)
        assert argument[len(option) :].isdecimal()
