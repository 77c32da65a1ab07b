# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the partitions of the source that a sync leaves out. Pure."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

from ..discovery.model import Disk, Machine, Partition
from ..errors import Refusal
from ..options.partitions import EVERY
from .partition_types import is_esp
from .refusals import is_extended

# Without the file systems at these places the running system does not start: the root, /usr, the kernels, the ESP
# (Boot Loader Specification: /efi, /boot or /boot/efi), the firmware partition of a Raspberry Pi.
STARTS_FROM = frozenset(("/", "/usr", "/boot", "/boot/efi", "/boot/firmware", "/efi"))


def numbers(source: Disk | None, partitions: tuple[int, ...] | str) -> tuple[int, ...]:
    """The numbers that ``partitions`` (see request.SyncRequest) means on this source; none for "all" of no disk.

    Extended partitions are containers: "all" means the logical partitions inside.
    """
    if partitions != EVERY:
        return tuple(int(number) for number in partitions)
    return tuple(part.number for part in source.partitions if not is_extended(part)) if source else ()


def left_out(source: Disk | None, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """The source's partitions that are not chosen, as JSON-able data; containers do not count.

    ``path`` and ``size`` (bytes) are None for a partition that only the table has and the kernel does not show.
    """
    if source is None:
        return []
    found = [_as_dict(part) for part in source.partitions if part.number not in chosen and not is_extended(part)]
    hidden = [number for number in source.stale if number not in chosen and source.partition(number) is None]
    return sorted(found + [_hidden(number) for number in hidden], key=lambda entry: int(entry["number"]))


def system_refusals(machine: Machine, source: Disk, chosen: Sequence[int]) -> Iterator[Refusal]:
    """The running system starts from partitions of the source that are left out: the backup would not start.

    The mounts of a partition include those through LUKS, LVM, btrfs members and loop devices on it. An ESP that
    systemd mounts on demand counts as mounted.
    """
    on_demand = _on_demand(machine, source)
    missing = {
        part: sorted(_places(part) or (on_demand if is_esp(part) else ()))
        for part in source.partitions
        if part.number not in chosen and not is_extended(part)
    }
    missing = {part: places for part, places in missing.items() if places}
    if missing:
        lies = ["%s on %s" % (enumerated(places), part.path) for part, places in missing.items()]
        wanted = sorted({*chosen, *(part.number for part in missing)})
        yield Refusal(
            "system_left_out",
            "The running system would not start from the backup. It has %s, which %s not in partitions."
            % (enumerated(lies), "is" if len(missing) == 1 else "are"),
            "Add what is missing, partitions: %s, or say partitions: %s." % (wanted, EVERY),
        )


def enumerated(words: Sequence[str]) -> str:
    """Words as a sentence lists them: "1, 2 and 3"."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _places(partition: Partition) -> set[str]:
    return {mount.mountpoint for mount in partition.all_mounts()} & STARTS_FROM


def _on_demand(machine: Machine, source: Disk) -> set[str]:
    """Where an ESP will be mounted on demand (systemd.automount(5)): the system's, if its root lies on the source."""
    if not any("/" in _places(part) for part in source.partitions):
        return set()
    waiting = {mount.mountpoint for mount in machine.mounts if mount.fstype == "autofs"} & STARTS_FROM
    return waiting - {mount.mountpoint for mount in machine.mounts if mount.fstype != "autofs"}


def _as_dict(partition: Partition) -> dict[str, Any]:
    return {
        "number": partition.number,
        "path": partition.path,
        "size": partition.size,
        "fstype": partition.fstype,
        "label": partition.label,
        "mountpoints": sorted({mount.mountpoint for mount in partition.all_mounts()}),
    }


def _hidden(number: int) -> dict[str, Any]:
    return {"number": number, "path": None, "size": None, "fstype": None, "label": None, "mountpoints": []}
