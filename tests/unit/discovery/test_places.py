# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mount a path lies on, and which devices writing there ends on."""

from __future__ import annotations

import struct

from blksync.discovery.loops import Backing, parse
from blksync.discovery.model import Machine
from blksync.discovery.overlays import read_layers, written_layers
from blksync.discovery.places import beneath, mount_of
from blksync.system.mountinfo import parse_mountinfo

ROOT = "20 1 8:2 / / rw - ext4 /dev/sda2 rw\n"


def test_a_covered_mount_is_passed_over() -> None:
    mounts = parse_mountinfo(ROOT + "21 20 8:3 / /mnt/sub rw - ext4 b rw\n22 20 8:4 / /mnt rw - ext4 c rw\n")
    found = mount_of(mounts, "/mnt/sub/file")
    assert found is not None
    assert found.devno == "8:4"


def test_a_place_that_was_looked_at_comes_first() -> None:
    mounts = parse_mountinfo(ROOT)
    machine = Machine((), mounts, below={"8:2": ("8:0",)}, places={"/swap": ("8:5",)})
    assert beneath(machine, "/var") == {"8:2", "8:0"}
    assert beneath(machine, "/swap") == {"8:5"}
    assert beneath(Machine(()), "/") == frozenset()


def test_layers_of_an_overlay_with_escapes() -> None:
    options = r"rw,lowerdir=/a\134:b:/c,upperdir=/u\0541,workdir=relative"
    (mount,) = parse_mountinfo("20 1 0:50 / /o rw - overlay overlay %s\n" % options)
    assert written_layers(mount) == ("/u,1",)
    assert read_layers(mount) == ("/u,1", "/a:b", "/c")


def test_the_kernels_answer_about_a_loop_device() -> None:
    info = struct.pack("=3Q", 0x802, 77, 0x700) + bytes(208)
    assert parse(info) == Backing(0x802, 77, "7:0")
    assert parse(info[:16] + bytes(216)).filesystem == "8:2"
