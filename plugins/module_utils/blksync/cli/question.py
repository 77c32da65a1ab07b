# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Shows what ``blksync sync`` is about to do, and waits for a yes."""

from __future__ import annotations

import os

from ..discovery.model import Disk, Partition
from ..sync.proposal import Proposal
from ..text import human_bytes, printable
from . import messages
from .format import align

YES = "yes"
_STREAMS = (0, 2)  # the answer is read from standard input; standard output has the result alone


def is_possible() -> bool:
    """Whether somebody is there to answer."""
    return all(map(os.isatty, _STREAMS))


def agree(proposal: Proposal) -> bool:
    """Show the plan and ask; True for the whole word "yes" alone."""
    for warning in proposal.warnings:
        messages.warn(warning)
    messages.show("\n".join(lines(proposal)))
    what = "Discard these changes and overwrite" if proposal.foreign else "Overwrite"
    return messages.ask("%s the backup disk %s? Type yes:" % (what, proposal.plan.target_disk.path)) == YES


def lines(proposal: Proposal) -> list[str]:
    """The plan as people read it: the disks, what is written, what is left out, what would be lost."""
    plan = proposal.plan
    rows: list[tuple[str, ...]] = [("", "DISK", "SIZE", "PTUUID", "MODEL", "SERIAL", "MOUNTED")]
    rows += [_row("main disk", plan.source_disk), _row("backup disk", plan.target_disk)]
    found = align(rows)
    found += ["", "On %s at most %s are overwritten:" % (plan.target_disk.path, human_bytes(proposal.at_most))]
    found += ["  partition %d: %s%s" % (pair.number, human_bytes(pair.size), _now(pair.target)) for pair in plan.pairs]
    if proposal.left_out:
        found += ["Of %s these are not copied:" % plan.source_disk.path]
        found += ["  partition %s" % partition for partition in proposal.left_out]
    for refusal in proposal.foreign:
        found += ["", printable(refusal.message)]
    return [*found, ""]


def _now(target: Partition) -> str:
    """What is on it and will be lost: ', now ext4 "data"'."""
    known = [text for text in (target.fstype, '"%s"' % target.label if target.label else "") if text]
    return ", now %s" % printable(" ".join(known)) if known else ""


def _row(role: str, disk: Disk) -> tuple[str, ...]:
    mounts = [mount for part in disk.partitions for mount in part.all_mounts()] + list(disk.mounts)
    mounted = ", ".join(sorted({mount.mountpoint for mount in mounts}))
    names = (disk.ptuuid, disk.model, disk.serial, mounted)
    return (role, disk.path, human_bytes(disk.size), *(name or "-" for name in names))
