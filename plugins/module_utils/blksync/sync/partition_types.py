# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Compares the types of a pair's partitions, by which firmware finds an ESP and systemd finds a root. Pure.

A type is as lsblk and blkid write it: "0xef" in an MBR, a GUID in a GPT. The GUIDs are those of the UEFI specification
2.10, table 5.7, and of the Discoverable Partitions Specification.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..discovery.model import Disk, Partition

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
_ESP = ("ef", ESP)
_OF_MBR = {
    "ef": ESP,
    "83": LINUX,
    "82": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",  # swap
    "8e": "e6d6d379-f507-44c2-a23c-238f2a3df928",  # LVM
    "fd": "a19d880f-05fc-4d3b-a006-743f0f84911e",  # Linux RAID
    "7": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",  # NTFS or exFAT: basic data
    "c": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",  # FAT32: basic data
}


@dataclass(frozen=True)
class Difference:
    """Two types that differ: ``message`` what is wrong, ``hint`` the command that mends it."""

    message: str
    hint: str


def difference(target: Disk, ours: Partition, theirs: Partition) -> Difference | None:
    """How the target's type differs from the source's; None if it does not or if one is unknown.

    Between an MBR and a GPT only the ESP is compared: other types have no exact counterpart.
    """
    wanted, found = _plain(ours.parttype), _plain(theirs.parttype)
    if not wanted or not found or wanted == found:
        return None
    if _is_guid(wanted) != _is_guid(found):
        if (wanted in _ESP) == (found in _ESP):
            return None
        wanted = _counterpart(wanted)
    return Difference(
        "Partition %d differs in type: %s has %s, %s has %s."
        % (theirs.number, ours.path, ours.parttype, theirs.path, theirs.parttype),
        "Run: sfdisk --part-type %s %d %s" % (target.path, theirs.number, wanted),
    )


def is_esp(partition: Partition) -> bool:
    """Whether firmware looks for boot loaders in it."""
    return _plain(partition.parttype) in _ESP


def unknown(ours: Partition, theirs: Partition) -> str:
    """The path of a partition of which no type is known, the source's first, or ""."""
    return next((part.path for part in (ours, theirs) if not _plain(part.parttype)), "")


def _plain(parttype: str | None) -> str:
    """As sfdisk takes it: hexadecimal without "0x" and leading zeros, or a GUID in lower case; "" for unknown."""
    text = (parttype or "").lower()
    return text[2:].lstrip("0") or "0" if text.startswith("0x") else text


def _is_guid(plain: str) -> bool:
    return "-" in plain


def _counterpart(plain: str) -> str:
    """The type in the other kind of table; that of any Linux file system where there is none."""
    if not _is_guid(plain):
        return _OF_MBR.get(plain, LINUX)
    return next((mbr for mbr, guid in _OF_MBR.items() if guid == plain), "83")
