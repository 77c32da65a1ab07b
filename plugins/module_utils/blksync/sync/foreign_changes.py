# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A backup disk that somebody worked on since its last success: another machine, or this one, mounted it for writing.

Their work would be lost in the next copy. What is compared, and what cannot be seen, is in records.signature.
"""

from __future__ import annotations

from functools import partial
from typing import Sequence

from ..discovery.host import System
from ..discovery.model import Disk
from ..errors import Refusal
from ..records import signature
from ..records.disk_record import CHANGED_ELSEWHERE, DiskRecord
from ..records.run import iso_time
from . import coverage
from .plan import Pair

CODE = "target_changed_elsewhere"


def examine(
    record: DiskRecord | None, target: Disk, pairs: Sequence[Pair], system: System | None = None
) -> list[Refusal]:
    """The refusal if the target's partitions do not look as the last success left them. Reads the target only."""
    if record is None:
        return []
    found = changed(record, pairs, system or System())
    if not found and record.state != CHANGED_ELSEWHERE:
        return []
    many = len(found) > 1
    where = "%s %s" % ("partitions" if many else "partition", coverage.enumerated(found)) if found else "the disk"
    since = record.last_success.end if record.last_success else None
    return [
        Refusal(
            CODE,
            "Somebody changed the backup disk %s%s: %s no longer %s as the last sync left %s. That happens when it is "
            "mounted for writing, or booted."
            % (
                target.path,
                " since %s" % iso_time(since) if since else "",
                where,
                *(("look", "them") if many else ("looks", "it")),
            ),
            "Save from it what you need. Then set the option discard_changes to true to overwrite it.",
        )
    ]


def changed(record: DiskRecord, pairs: Sequence[Pair], system: System) -> list[str]:
    """The numbers of the pairs whose target looks different. One that cannot be read now is not among them."""
    known = record.trusted
    found = []
    for pair in pairs:
        expected = known.get(str(pair.number))
        read = partial(system.read, pair.target.path, pair.target.devno)
        taken = signature.take(read, pair.target.size) if expected else None
        if taken and taken != expected:
            found.append(str(pair.number))
    return found
