# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds reasons to refuse in superblocks. All functions except ``examine`` are pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterator, Sequence

from ..discovery.host import System
from ..errors import Refusal
from ..superblocks.observe import Observed, logical_sector, observe
from ..superblocks.registry import LUKS
from .plan import Pair

SPANS = "source_spans_devices"


@dataclass(frozen=True)
class Findings:
    """What speaks against copying, and what the user should know otherwise."""

    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


def examine(pairs: Sequence[Pair], allow_damaged: bool, system: System | None = None) -> Findings:
    """Look at the sources of all pairs, reading only, before anything is touched."""
    system = system or System()
    refusals: list[Refusal] = []
    warnings: list[str] = []
    for pair in pairs:
        if not (pair.source.devno or os.path.isfile(pair.source.path)):
            continue  # a pipe, say, which was refused already: to open it could take for ever
        source = observe(pair.source, system)
        damaged = list(damage_refusals(source))
        if allow_damaged:
            warnings += [refusal.message for refusal in damaged]
        else:
            refusals += damaged
        if SPANS not in {refusal.code for refusal in pair.quiesce.refusals}:
            refusals += spanning_refusals(source)
        sectors = [logical_sector(side.devno, system) for side in (pair.source, pair.target)]
        refusals += sector_refusals(source, pair.target.path, *sectors)
        warnings += [*unclean_warnings(source), *sector_warnings(source, pair.target.path, sectors[1])]
    return Findings(tuple(refusals), tuple(warnings))


def damage_refusals(source: Observed) -> Iterator[Refusal]:
    """Errors that a file system has recorded: a copy would overwrite a good backup with a damaged source."""
    for each in source.tree():
        if each.content.damage:
            yield Refusal(
                "source_damaged",
                "The %s on %s has recorded errors: %s."
                % (each.content.kind, each.path, "; ".join(each.content.damage)),
                "Repair it first (%s); until then the backup may be the better one of the two. "
                "Set the option allow_damaged_source to true to copy it as it is." % (each.content.repair % each.path),
            )


def spanning_refusals(source: Observed) -> Iterator[Refusal]:
    """File systems of which a part lies on another device, mounted or not."""
    for each in source.tree():
        if each.content.elsewhere:
            yield Refusal(
                SPANS,
                "The %s on %s %s." % (each.content.kind, each.path, each.content.elsewhere),
                "A copy of one of them alone is of no use; keep the file system on one device, or leave this out.",
            )


def sector_refusals(source: Observed, target: str, ours: int, theirs: int) -> Iterator[Refusal]:
    """Content that does not work on the target's logical sectors.

    ``ours`` and ``theirs`` are the logical sectors of source and target in bytes; 0 is a file, which has none.
    """
    content = source.content
    if not theirs or ours == theirs:
        return
    sizes = "%s has logical sectors of %d bytes" % (target, theirs)
    sizes += ", the source %s of %d bytes" % (source.path, ours) if ours else ""
    if content.unit and (content.unit < theirs or (content.exact and content.unit != theirs)):
        yield Refusal(
            "sector_size_differs",
            "%s: the %s on it is made for sectors of %d bytes and does not work there."
            % (sizes, content.kind, content.unit),
            "Use a target with logical sectors of %d bytes%s." % (content.unit, "" if content.exact else " or less"),
        )
    elif not content.unit and ours:
        yield Refusal(
            "sector_size_differs",
            "%s, and %s is not known to work with both."
            % (sizes, "the %s on it" % content.kind if content.kind else "what is on it"),
            "Use a target with logical sectors of %d bytes." % ours,
        )
    if content.kind == LUKS and content.unit >= max(ours, theirs):
        return  # the mapping has the sectors of the encryption on both disks
    for inner in source.inner:
        yield from sector_refusals(inner, target, ours, theirs)


def sector_warnings(source: Observed, target: str, theirs: int) -> Iterator[str]:
    """A FAT of larger sectors than the disk's: Linux mounts it, a firmware that looks for its boot files may not."""
    content = source.content
    if content.kind in ("vfat", "msdos") and 0 < theirs < content.unit:
        yield (
            "The FAT on %s has sectors of %d bytes, and %s has logical sectors of %d bytes: "
            "Linux can use the copy, but some firmware cannot boot from it."
            % (source.path, content.unit, target, theirs)
        )


def unclean_warnings(source: Observed) -> Iterator[str]:
    """A FAT that is not mounted now and was not unmounted either."""
    for each in source.tree():
        if each.content.unclean and not each.mounted:
            yield "The %s on %s was not unmounted the last time; check it (%s)." % (
                each.content.kind,
                each.path,
                each.content.repair % each.path,
            )
