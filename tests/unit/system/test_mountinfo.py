# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers of the kernel's lists of mounts and swap."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.errors import BlksyncError
from blksync.system.mountinfo import Mount, parse_mountinfo, parse_swaps, unescape

PROC_MANUAL = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue"
"""The example of proc(5), with a second optional field."""


def test_every_field() -> None:
    assert parse_mountinfo(PROC_MANUAL) == (
        Mount(
            mount_id=36,
            parent_id=35,
            devno="98:0",
            root="/mnt1",
            mountpoint="/mnt2",
            options="rw,noatime",
            propagation=("master:1", "propagate_from:2"),
            fstype="ext3",
            source="/dev/root",
            super_options="rw,errors=continue",
        ),
    )


def test_escapes_no_optional_fields_and_an_empty_source() -> None:
    text = (
        "1 0 8:1 /a\\134b /mnt/two\\040words\\011\\012 rw - ext4 /dev/sda1 rw\n2 1 0:5 / /x ro - fuse.some\\040fs  rw\n"
    )
    first, second = parse_mountinfo(text)
    assert (first.root, first.mountpoint, first.propagation) == ("/a\\b", "/mnt/two words\t\n", ())
    assert (second.source, second.super_options) == ("", "rw")


@pytest.mark.parametrize(
    ("options", "super_options", "read_only"),
    [
        ("rw", "rw", False),
        ("ro", "rw", True),
        ("rw,noatime", "ro,errors=remount-ro", True),
        ("rw,errors=ro", "rw", False),
    ],
)
def test_read_only(options: str, super_options: str, read_only: bool) -> None:
    (mount,) = parse_mountinfo("1 0 8:1 / / %s - ext4 /dev/sda1 %s" % (options, super_options))
    assert mount.read_only is read_only


@pytest.mark.parametrize(
    "line", ["garbage", "36 35 98:0 / / rw", "36 35 98:0 / / rw shared:1 ext4 /dev/sda1 rw", "x 35 8:1 / / rw - a b c"]
)
def test_a_line_of_another_shape_is_an_error(line: str) -> None:
    with pytest.raises(BlksyncError, match="mountinfo"):
        parse_mountinfo(PROC_MANUAL + "\n" + line + "\n")


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_unescape_undoes_the_kernel(name: bytes) -> None:
    escaped = b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in name)
    assert os.fsencode(unescape(os.fsdecode(escaped))) == name


def test_swaps() -> None:
    text = (
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        "/dev/dm-2                               partition\t1048572\t0\t-2\n"
        "/my\\040swap                             file\t\t2097148\t0\t-3\n"
    )
    assert parse_swaps(text) == (("/dev/dm-2",), ("/my swap",))
    assert parse_swaps("") == ((), ())
