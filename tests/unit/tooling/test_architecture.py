# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of the packages, and the page around it: what they name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.tooling import architecture
from tests.tooling.architecture import CORE, Box, comparable, draw, imports, packages, purposes
from tests.tooling.paths import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROWS = (Box("upper", "reads <it>", 2, 100), Box("lower", "holds it", 1, 10))
NAMED = re.findall(r"`([\w/]+\.py)` `([\w.]+)`", PAGE)


def functions(path: Path) -> set[str]:
    """The functions, methods (as Class.method) and classes of a file."""
    tree = ast.parse(path.read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    return found | {f"{each.name}.{node.name}" for each in classes for node in each.body if hasattr(node, "name")}


def test_an_import_is_a_dot_and_an_arrow() -> None:
    picture = draw(ROWS, {"upper": {"lower"}})
    assert "<title>upper imports lower</title>" in picture
    assert picture.count("<circle") == picture.count('class="head"') == 1
    assert "reads &lt;it&gt;" in picture


def test_only_the_sizes_are_left_out_of_the_comparison() -> None:
    grown = (Box("upper", "reads <it>", 3, 120), ROWS[1])
    known = comparable(draw(ROWS, {"upper": {"lower"}}))
    assert comparable(draw(grown, {"upper": {"lower"}})) == known
    assert comparable(draw(ROWS, {"lower": {"upper"}})) != known
    assert comparable(draw((*ROWS, Box("new", "", 1, 1)), {"upper": {"lower"}})) != known


def test_a_stale_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "PICTURE", ROOT / "docs" / "none.svg")
    assert architecture.main("--check") == 1


def test_every_package_has_its_purpose_and_imports_point_down() -> None:
    order = packages()
    assert set(order) <= set(purposes())
    for name, imported in imports().items():
        assert all(order.index(each) > (order.index(name) if name in order else -1) for each in imported), name


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_every_function_that_the_page_names_exists(file: str, name: str) -> None:
    """Paths are relative to the core, or to plugins for the modules."""
    path = CORE / file if (CORE / file).exists() else ROOT / "plugins" / file
    assert name in functions(path)


def test_the_page_counts_its_own_hops() -> None:
    hops = re.findall(r"^(\d+)\. `", PAGE, re.MULTILINE)
    assert hops == [str(number) for number in range(1, len(hops) + 1)]
    assert f"{len(hops)} hops" in PAGE
