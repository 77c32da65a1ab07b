# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code of a reason is documented, in the module that returns it and in docs/live.md, and no other is."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

from tests.tooling.paths import ROOT

CORE = ROOT / "plugins" / "module_utils" / "blksync"
MODULES = ROOT / "plugins" / "modules"
MAKERS = {"Reason", "LiveDoubtError", "UnknownLayoutError", "_doubting"}
LIVE = [CORE / "sync" / "pair.py", CORE / "system" / "tracefs.py", *(CORE / "live").glob("*.py")]
# The field of a pair, the sources of its reasons, and the module that returns it.
FIELDS = {
    "live.fallback": (LIVE, "disk_sync"),
    "scope.reason": ([*(CORE / "used_blocks").glob("*.py")], "disk_sync"),
    "digest.reason": ([*(CORE / "digests").glob("*.py")], "image_sync"),
}


def made(paths: list[Path]) -> Iterator[str]:
    """The codes that are given to a reason in these files."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    yield code.value


def returned(module: str, field: str) -> set[str]:
    """The codes in a module's RETURN."""
    for node in ast.parse((MODULES / (module + ".py")).read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "RETURN":
            described: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["partitions"]
            for name in field.split("."):
                described = described["contains"][name]
            return set(re.findall(r"C\(([a-z_]+)\)", described["description"][1]))
    raise AssertionError("no RETURN")


def on_the_page(field: str) -> set[str]:
    """What stands in backquotes in the first column of the table with that heading in docs/live.md."""
    table = (ROOT / "docs" / "live.md").read_text().split(f"| `{field}.code` |")[1].split("\n\n")[0]
    return {code for line in table.splitlines()[2:] for code in re.findall("`([a-z_]+)`", line.split("|")[1])}


@pytest.mark.parametrize("field", FIELDS)
def test_a_module_documents_every_code_and_no_other(field: str) -> None:
    sources, module = FIELDS[field]
    codes = set(made(sources))
    assert len(codes) >= 10
    assert codes == returned(module, field)


@pytest.mark.parametrize("field", ["live.fallback", "scope.reason"])
def test_the_page_explains_every_code_and_no_other(field: str) -> None:
    assert set(made(FIELDS[field][0])) == on_the_page(field)
