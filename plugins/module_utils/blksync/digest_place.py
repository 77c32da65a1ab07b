# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where digests must not be kept: on what is copied, and on what holds still while it is copied. Pure."""

from __future__ import annotations

from typing import Iterator, Sequence

from .machine import Machine, Partition
from .quiesce.plan import QuiescePlan, mount_of
from .safety import Refusal

HINT = "Keep digests on another file system that this sync does not touch: a third partition, another disk."


def refusals(
    machine: Machine, folder: str, sides: Sequence[Partition], quiesce: Sequence[QuiescePlan]
) -> Iterator[Refusal]:
    """Reasons against ``folder``, a real path; ``sides`` are all partitions that are read or written."""
    mount = mount_of(machine.mounts, folder)
    if mount is None:
        return
    if any(step.devno == mount.devno for plan in quiesce for step in plan.steps):
        yield Refusal(
            "digest_folder_quiesced",
            "digest_dir %s lies on %s, which is frozen or unmounted while it is copied." % (folder, mount.mountpoint),
            HINT,
        )
        return
    for side in sides:
        if any(mount.devno == other.devno for other in side.all_mounts()):
            yield Refusal(
                "digest_folder_on_pair",
                "digest_dir %s lies on %s, which this sync copies." % (folder, side.path),
                HINT,
            )
            return
