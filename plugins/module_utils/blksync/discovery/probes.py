# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Asks lsblk and blkid for serial numbers, identifiers and file systems, which sysfs does not have.

lsblk takes most of it from udev's database; without udev its columns are empty and ``blkid -p`` reads the device.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Iterator

# Columns that every lsblk from util-linux 2.34 to 2.41 has. What sysfs says better (sizes, flags, mounts) is not asked
# for: those columns changed their names and types between versions.
COLUMNS = "KNAME,MAJ:MIN,MODEL,VENDOR,SERIAL,WWN,TRAN,PTTYPE,PTUUID,PARTUUID,PARTTYPE,FSTYPE,LABEL,UUID"
LSBLK = ("lsblk", "--json", "--output", COLUMNS)
BLKID = ("blkid", "-p", "-o", "export")


@dataclass(frozen=True)
class Facts:
    """What was learnt of one device; None is unknown. ``start`` is in bytes."""

    model: str | None = None
    vendor: str | None = None
    serial: str | None = None
    wwn: str | None = None
    transport: str | None = None
    table: str | None = None
    ptuuid: str | None = None
    partuuid: str | None = None
    parttype: str | None = None
    fstype: str | None = None
    label: str | None = None
    uuid: str | None = None
    start: int | None = None


def merge(*sources: Facts) -> Facts:
    """The first source that knows, fact by fact."""
    merged: dict[str, Any] = {}
    for source in sources:
        known = ((name, value) for name, value in vars(source).items() if value is not None)
        merged = {**dict(known), **merged}
    return Facts(**merged)


def parse_lsblk(text: str) -> dict[str, Facts]:
    """The output of LSBLK as facts by devno; empty if it is no such output.

    A device with several parents is listed once under each: the first is taken.
    """
    try:
        roots = json.loads(text)["blockdevices"]
    except (ValueError, KeyError, TypeError):
        return {}
    found: dict[str, Facts] = {}
    for entry in _entries(roots):
        found.setdefault(str(entry.get("maj:min")).strip(), _lsblk_facts(entry))
    return found


def _entries(nodes: Any) -> Iterator[dict[str, Any]]:
    for node in nodes if isinstance(nodes, list) else ():
        if isinstance(node, dict):
            yield node
            yield from _entries(node.get("children"))


def _lsblk_facts(entry: dict[str, Any]) -> Facts:
    def column(name: str) -> str | None:
        return str(entry.get(name) or "").strip() or None

    return Facts(
        model=column("model"),
        vendor=column("vendor"),
        serial=column("serial"),
        wwn=column("wwn"),
        transport=column("tran"),
        table=column("pttype"),
        ptuuid=column("ptuuid"),
        partuuid=column("partuuid"),
        parttype=column("parttype"),
        fstype=column("fstype"),
        label=column("label"),
        uuid=column("uuid"),
    )


def parse_blkid(text: str) -> dict[str, Facts]:
    """The output of BLKID for any number of devices as facts by device path."""
    found: dict[str, Facts] = {}
    for block in re.split(r"\n\n+", text):
        tags = dict(_tag(line) for line in block.split("\n") if "=" in line)
        if "DEVNAME" not in tags:
            continue
        offset = tags.get("PART_ENTRY_OFFSET", "")
        found[tags["DEVNAME"]] = Facts(
            table=tags.get("PTTYPE"),
            ptuuid=tags.get("PTUUID"),
            partuuid=tags.get("PART_ENTRY_UUID"),
            parttype=tags.get("PART_ENTRY_TYPE"),
            fstype=tags.get("TYPE"),
            label=tags.get("LABEL"),
            uuid=tags.get("UUID"),
            start=int(offset) * 512 if offset.isdigit() else None,
        )
    return found


def _tag(line: str) -> tuple[str, str]:
    name, _equals, value = line.partition("=")
    return name, re.sub(r"\\(.)", r"\1", value)
