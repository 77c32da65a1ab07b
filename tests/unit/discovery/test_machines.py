# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery on recorded machines: what it finds on each is written down beside the recording, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blksync.discovery.model import Disk, Holder, Machine, Partition
from blksync.discovery.observe import observe
from tests.support.recording import RecordedSystem

MACHINES = Path(__file__).parent / "machines"


def outline(machine: Machine) -> str:
    """Everything of a machine as indented text; what is unknown or false is left out."""
    names = {disk.devno: disk.path for disk in machine.disks}
    lines = [line for disk in machine.disks for line in disk_lines(disk)]
    lines += [
        "%s lies on %s" % (devno, ", ".join(names[disk] for disk in disks) or "no disk")
        for devno, disks in (machine.ancestry or {}).items()
    ]
    lines += ["swap file %s" % path for path in machine.swap_files]
    return "\n".join(lines) + "\n"


def disk_lines(disk: Disk) -> Iterator[str]:
    """A disk and what is on it."""
    hidden = ("name", "path", "links", "partitions", "mounts", "holders")
    yield "disk %s %s" % (disk.path, known(disk, hidden))
    yield from ("  link %s" % link for link in disk.links)
    yield from use_lines(disk, "  ")
    for partition in disk.partitions:
        yield "  partition %s %s" % (partition.path, known(partition, ("name", "path", "links", "mounts", "holders")))
        yield from ("    link %s" % link for link in partition.links)
        yield from use_lines(partition, "    ")


def use_lines(device: Disk | Partition | Holder, indent: str) -> Iterator[str]:
    """What uses a device, at any depth."""
    for mount in device.mounts:
        access = "read-only" if mount.read_only else "read-write"
        yield "%smount %s of %s (%s, %s)" % (indent, mount.mountpoint, mount.root, mount.fstype, access)
    for holder in device.holders:
        yield "%s%s %s %s" % (
            indent,
            holder.kind,
            holder.path,
            known(holder, ("name", "path", "kind", "mounts", "holders")),
        )
        yield from use_lines(holder, indent + "  ")


def known(device: Disk | Partition | Holder, hidden: tuple[str, ...]) -> str:
    """The facts of a device as "name=value"; a flag by its name alone."""
    facts = [(name, value) for name, value in vars(device).items() if name not in hidden]
    shown = (
        name if value is True else "%s=%s" % (name, value) for name, value in facts if value not in (None, False, ())
    )
    return " ".join(shown)


@pytest.mark.parametrize("name", sorted(directory.name for directory in MACHINES.iterdir() if directory.is_dir()))
def test_machine(name: str) -> None:
    directory = MACHINES / name
    found = observe(RecordedSystem(directory))
    assert outline(found) == (directory / "expected.txt").read_text(encoding="utf-8")
