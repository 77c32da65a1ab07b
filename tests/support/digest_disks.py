# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two disposable disks to sync with a digest, many times, without a new look at the machine each time."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

from blksync import discovery, sync
from blksync.engines.blocksync_fast import BlocksyncFastEngine
from blksync.progress import Progress
from blksync.request import SyncRequest

from .blocks import fill
from .disks import MIB, SECTOR, PartitionedDisk

SIZES = (4 * MIB // SECTOR, 16 * MIB // SECTOR + 3)
SOURCE, TARGET, THIRD = ("%s%06x" % (start, os.getpid() % 2**24) for start in ("d1", "d2", "d3"))

Hardware = Tuple[PartitionedDisk, PartitionedDisk]


@contextlib.contextmanager
def hardware() -> Iterator[Hardware]:
    """Make the two disks."""
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES, gap=4096) as target:
        yield source, target


class Disks:
    """The disks, a folder for digests, and a view of the machine that is not renewed: looking reads the disks."""

    def __init__(self, source: PartitionedDisk, target: PartitionedDisk, folder: Path) -> None:
        self.source, self.target, self.folder = source, target, folder
        self.machine = discovery.observe()

    def sync(self, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
        """One sync of both pairs, to its end; skips the test where the engine is missing."""
        values = {"engine": "native", "quiesce": "none", "digest_dir": str(self.folder), **options}
        if values["engine"] == "blocksync_fast" and BlocksyncFastEngine.find() is None:
            pytest.skip("blocksync-fast is not installed")
        return sync.run(SyncRequest(SOURCE, TARGET, **values), progress, lambda: self.machine).as_dict()

    def digests(self) -> list[Path]:
        """The digests in the folder, those of the first pair first."""
        return sorted(self.folder.glob("*.digest"))

    def record(self, number: int = 2) -> Path:
        """What is recorded beside a digest."""
        return Path(f"{self.digests()[number - 1]}.json")

    def edit_record(self, **fields: Any) -> None:
        """Change fields of the second pair's record; those of the binding one by one."""
        record = json.loads(self.record().read_text())
        binding = {**record["binding"], **fields.pop("binding", {})}
        self.record().write_text(json.dumps({**record, **fields, "binding": binding}))


def filled(hardware: Hardware, folder: Path) -> Disks:
    """The disks for one test, with new content on the source."""
    for number in (1, 2):
        fill(hardware[0].partition(number))
    return Disks(*hardware, folder)


def used(result: dict[str, Any]) -> list[bool]:
    """Of each pair, whether its digest was used."""
    return [pair["digest"]["used"] for pair in result["partitions"]]
