# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of syncs that never ran, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from blksync.discovery.model import Disk
from blksync.options import SyncRequest
from blksync.sync import disk_plan
from blksync.sync.result import PairReport, SyncReport
from tests.support.machines import disk, machine


def sync_report(*pairs: dict[str, Any], source: Disk | None = None, target: Disk | None = None) -> SyncReport:
    """A sync by the native engine; ``pairs`` has the fields of the first PairReports."""
    source, target = source or disk("sda", 8, "11111111"), target or disk("sdb", 9, "22222222")
    numbers = tuple(part.number for part in source.partitions[: len(pairs)])
    request = SyncRequest("11111111", "22222222", partitions=numbers, quiesce="none")
    plan = disk_plan.make(machine(source, target), request)
    reports = [PairReport(pair, **fields) for pair, fields in zip(plan.pairs, pairs, strict=True)]
    return SyncReport(plan, "native", "0.1.0", check=False, pairs=reports)
