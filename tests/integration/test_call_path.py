# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md lists the functions from a task's parameters to the first byte: a real run calls these."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from blksync.engines.native.writer import Writer
from blksync.options import SyncRequest
from blksync.sync import disk_sync
from blksync.system.device import Device
from tests.support.disks import PartitionedDisk, identifiers, run
from tests.support.mounted import SIZES
from tests.tooling.architecture import CORE
from tests.tooling.paths import ROOT

pytestmark = pytest.mark.needs("root", "loop-devices", "tracefs", "sfdisk", "partx", "mkfs.ext4")
SOURCE, TARGET = identifiers()
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LISTED = re.findall(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`", PAGE, re.MULTILINE)
DOORS = 3  # functions of the module and its adapter, which need Ansible
Hop = tuple[str, str]


def stack(frame: FrameType | None) -> list[Hop]:
    """The functions of the core that are open, the outermost first."""
    found: list[Hop] = []
    while frame:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(CORE):
            found.insert(0, (str(path.relative_to(CORE)), frame.f_code.co_qualname))
        frame = frame.f_back
    return found


def noting(method: Callable[..., None], first: list[Hop]) -> Callable[..., None]:
    """The method, which notes by whom it is called for the first time."""

    def noted(self: Any, *arguments: Any) -> None:
        if not first:
            file = Path(method.__code__.co_filename).relative_to(CORE)
            first.extend([*stack(sys._getframe(1)), (str(file), method.__qualname__)])
        method(self, *arguments)

    return noted


@pytest.mark.parametrize("quiesce", ["live", "freeze"])
def test_a_run_enters_what_the_page_lists(quiesce: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading: list[Hop] = []
    writing: list[Hop] = []
    monkeypatch.setattr(Writer, "submit", noting(Writer.submit, reading))
    monkeypatch.setattr(Device, "write", noting(Device.write, writing))
    with PartitionedDisk(SOURCE, SIZES) as source, PartitionedDisk(TARGET, SIZES):
        run("mkfs.ext4", "-q", source.partition(2))
        run("mount", source.partition(2), str(tmp_path))
        try:
            disk_sync.run(SyncRequest(source=SOURCE, target=TARGET, partitions=(2,), quiesce=quiesce))
        finally:
            run("umount", str(tmp_path))
    expected = LISTED[DOORS:]
    if quiesce == "freeze":
        names = [name for _file, name in expected]
        first, last = names.index("CopyRun._copy_in_use"), names.index("CopyRun._next_pass")
        expected[first : last + 1] = [("sync/copy_run.py", "CopyRun._copy_quiesced")]
    assert [*reading, *writing] == expected
