# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/live.md explains the reasons that the core gives for doing more than was asked for, in its very words."""

from __future__ import annotations

import re

import pytest

from tests.tooling.paths import ROOT

CORE = ROOT / "plugins" / "module_utils" / "blksync"
PAGE = (ROOT / "docs" / "live.md").read_text()
SOURCES = {
    "live.fallback": [CORE / "sync" / "pair.py", CORE / "system" / "tracefs.py", *(CORE / "live").glob("*.py")],
    "scope.reason": [*(CORE / "used_blocks").glob("*.py")],
}


def reasons(column: str) -> list[str]:
    """What stands in backquotes in the first column of the table with that heading."""
    table = PAGE.split(f"| `{column}` |")[1].split("\n\n")[0]
    return [reason for line in table.splitlines()[2:] for reason in re.findall("`([^`]+)`", line.split("|")[1])]


@pytest.mark.parametrize("column", SOURCES)
def test_every_documented_reason_is_one_of_the_core(column: str) -> None:
    """An ellipsis stands for what differs from case to case."""
    texts = [path.read_text() for path in SOURCES[column]]
    found = reasons(column)
    assert len(found) >= 8
    for reason in found:
        words = [part.strip(" :") for part in reason.split("…")]
        assert any(all(part in text for part in words) for text in texts), reason
