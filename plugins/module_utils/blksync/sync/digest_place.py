# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Refuses places for digests and deltas: the source, and file systems that are quiesced during the copy. Pure."""

from __future__ import annotations

from typing import Iterator

from ..discovery.model import Machine, Partition
from ..discovery.places import beneath, mount_of
from ..errors import Refusal
from ..quiesce.plan import QuiescePlan, is_stopped

HINT = "Keep digests and deltas on another file system, which is not read: another partition, another disk."


def refusals(machine: Machine, directory: str, source: Partition, quiesce: QuiescePlan) -> Iterator[Refusal]:
    """Reasons against ``directory``, a real path, where ``source`` is read."""
    mount = mount_of(machine.mounts, directory)
    devices = beneath(machine, directory)
    if mount is None:
        return
    if is_stopped(quiesce.steps, devices):
        yield Refusal(
            "digest_dir_quiesced",
            "The directory %s lies on %s, which is frozen or unmounted while it is read."
            % (directory, mount.mountpoint),
            HINT,
        )
    elif source.devno in devices or any(other.devno in devices for other in source.all_mounts()):
        yield Refusal(
            "digest_dir_on_source", "The directory %s lies on %s, which is read." % (directory, source.path), HINT
        )
