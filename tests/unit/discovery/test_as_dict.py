# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks as plain data."""

from __future__ import annotations

import json

from blksync.discovery.as_dict import disk_as_dict
from blksync.discovery.model import Holder
from blksync.text import cleaned
from tests.support.machines import disk, mount, partition


def test_everything_on_a_disk_survives_json() -> None:
    root = mount("253:1", "/caf\udce9", root="/@", options="ro")
    volume = Holder("dm-1", "/dev/mapper/vg-root", "253:1", "lvm", mounts=(root,))
    swap = Holder("dm-2", "/dev/mapper/vg-swap", "253:2", "lvm", swap=True)
    luks = Holder("dm-0", "/dev/mapper/luks", "253:0", "crypt", holders=(volume, swap))
    found = disk_as_dict(disk("sda", 8, "11111111", partition("sda", 2, 8, holders=(luks,))))
    found = json.loads(json.dumps(cleaned(found)))
    assert (found["path"], found["ptuuid"], found["mounts"], found["backing_file"]) == (
        "/dev/sda",
        "11111111",
        [],
        None,
    )
    (part,) = found["partitions"]
    assert (part["number"], part["path"]) == (2, "/dev/sda2")
    mounts = [{"mountpoint": "/caf\\xe9", "root": "/@", "fstype": "ext4", "read_only": True}]
    lower = [
        {"path": "/dev/mapper/vg-root", "kind": "lvm", "mounts": mounts, "swap": False, "holders": []},
        {"path": "/dev/mapper/vg-swap", "kind": "lvm", "mounts": [], "swap": True, "holders": []},
    ]
    assert part["holders"] == [
        {"path": "/dev/mapper/luks", "kind": "crypt", "mounts": [], "swap": False, "holders": lower}
    ]
