# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Disks as dictionaries, for the result of disk_info and for ``blksync disks``. All text is as it was read."""

from __future__ import annotations

from typing import Any

from ..system.mountinfo import Mount
from .model import Disk, Holder, Partition


def disk_as_dict(disk: Disk) -> dict[str, Any]:
    """Everything known of a disk; sizes and offsets are bytes, what is unknown is None."""
    return {
        "path": disk.path,
        "links": list(disk.links),
        "model": disk.model,
        "vendor": disk.vendor,
        "serial": disk.serial,
        "wwn": disk.wwn,
        "transport": disk.transport,
        "size": disk.size,
        "logical_sector": disk.logical_sector,
        "physical_sector": disk.physical_sector,
        "read_only": disk.read_only,
        "removable": disk.removable,
        "rotational": disk.rotational,
        "table": disk.table,
        "ptuuid": disk.ptuuid,
        "backing_file": disk.backing_file,
        "partitions": [partition_as_dict(partition) for partition in disk.partitions],
        **_use(disk),
    }


def partition_as_dict(partition: Partition) -> dict[str, Any]:
    """Everything known of a partition."""
    return {
        "number": partition.number,
        "path": partition.path,
        "links": list(partition.links),
        "start": partition.start,
        "size": partition.size,
        "read_only": partition.read_only,
        "partuuid": partition.partuuid,
        "type": partition.parttype,
        "fstype": partition.fstype,
        "label": partition.label,
        "uuid": partition.uuid,
        **_use(partition),
    }


def _use(device: Disk | Partition | Holder) -> dict[str, Any]:
    return {
        "mounts": [_mount_as_dict(mount) for mount in device.mounts],
        "swap": device.swap,
        "holders": [{"path": holder.path, "kind": holder.kind, **_use(holder)} for holder in device.holders],
    }


def _mount_as_dict(mount: Mount) -> dict[str, Any]:
    return {
        "mountpoint": mount.mountpoint,
        "root": mount.root,
        "fstype": mount.fstype,
        "read_only": mount.read_only,
    }
