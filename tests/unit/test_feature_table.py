# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/blocksync-fast.md names the test of each feature: every one of them is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "blocksync-fast.md").read_text()
FILES = {path.name: path for path in TESTS.rglob("test_*.py")}


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(r"`((?:\w+/)*)(test_\w+\.py)", PAGE)
    assert len(named) > 15
    for directory, name in named:
        assert name in FILES, name
        assert FILES[name].is_relative_to(TESTS / directory), (directory, name)


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"(test_\w+\.py)::(test_\w+)", PAGE)
    assert len(named) > 5
    for name, test in named:
        assert f"def {test}(" in FILES[name].read_text(), (name, test)


def test_every_feature_has_its_proof() -> None:
    table = PAGE.split("## Features")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 15
    for row in rows:
        assert len(row) == 3
        assert all(cell.strip() for cell in row), row
