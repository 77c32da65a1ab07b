# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where digests and deltas must not be kept: on what is read, and on what holds still meanwhile. Pure."""

from __future__ import annotations

from typing import Iterator

from ..discovery.model import Machine, Partition
from ..discovery.places import beneath, mount_of
from ..errors import Refusal
from ..quiesce.plan import QuiescePlan, is_stopped

HINT = "Keep digests and deltas on another file system, which is not read: another partition, another disk."


def refusals(machine: Machine, folder: str, source: Partition, quiesce: QuiescePlan) -> Iterator[Refusal]:
    """Reasons against ``folder``, a real path, where ``source`` is read."""
    mount = mount_of(machine.mounts, folder)
    devices = beneath(machine, folder)
    if mount is None:
        return
    if is_stopped(quiesce.steps, devices):
        yield Refusal(
            "digest_folder_quiesced",
            "The folder %s lies on %s, which is frozen or unmounted while it is read." % (folder, mount.mountpoint),
            HINT,
        )
    elif source.devno in devices or any(other.devno in devices for other in source.all_mounts()):
        yield Refusal(
            "digest_folder_on_source", "The folder %s lies on %s, which is read." % (folder, source.path), HINT
        )
