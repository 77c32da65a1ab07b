# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the partitions of the source that a sync leaves out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, Sequence

from ..discovery.model import Disk, Machine, Partition
from ..errors import Refusal
from ..options.partitions import EVERY
from ..text import human_bytes, printable
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


@dataclass(frozen=True)
class LeftOut:
    """A partition of the source that is no pair. ``path`` and ``size`` (bytes) are None for a partition that only the
    table has and the kernel does not show."""

    number: int
    path: str | None = None
    size: int | None = None
    fstype: str | None = None
    label: str | None = None
    mountpoints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """As people know it: "3 (/home, 20.0 GiB)", '4 ("data", ext4, 8.0 GiB)'."""
        label = '"%s"' % self.label if self.label else ""
        known = self.mountpoints or [text for text in (label, self.fstype) if text]
        size = [] if self.size is None else [human_bytes(self.size)]
        described = ", ".join([*map(printable, known), *size])
        return "%d (%s)" % (self.number, described) if described else "%d" % self.number


def left_out(source: Disk | None, chosen: Sequence[int]) -> list[LeftOut]:
    """The source's partitions that are not chosen; containers do not count."""
    if source is None:
        return []
    found = [_left_out(part) for part in source.partitions if part.number not in chosen and not is_extended(part)]
    hidden = [number for number in source.stale if number not in chosen and source.partition(number) is None]
    return sorted(found + [LeftOut(number) for number in hidden], key=lambda partition: partition.number)


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
            "The running system would not start from the backup. It has %s, which %s left out."
            % (enumerated(lies), "is" if len(missing) == 1 else "are"),
            "Set the option partitions to %s, or to %s." % (",".join(map(str, wanted)), EVERY),
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


def _left_out(partition: Partition) -> LeftOut:
    places = sorted({mount.mountpoint for mount in partition.all_mounts()})
    return LeftOut(partition.number, partition.path, partition.size, partition.fstype, partition.label, places)
