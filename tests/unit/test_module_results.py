# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What disk_sync returns is what its RETURN describes: the same fields, no more and no less."""

from __future__ import annotations

import ast
from typing import Any

import yaml

from blksync.errors import Reason
from blksync.quiesce.step import StepReport
from blksync.sync.result import LiveReport
from tests.support.machines import disk, partition
from tests.support.reports import sync_report
from tests.tooling.paths import ROOT

MODULE = ROOT / "plugins" / "modules" / "disk_sync.py"
AFTER_FAILURE = {"refusals", "problems", "hint", "kind"}
TYPES = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict}


def documented() -> dict[str, Any]:
    """RETURN, without what only a failure has."""
    for node in ast.parse(MODULE.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "RETURN":
            fields: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return {name: field for name, field in fields.items() if name not in AFTER_FAILURE}
    raise AssertionError("no RETURN")


def returned() -> dict[str, Any]:
    """A result in which every field has a value."""
    source = disk("sda", 8, "11111111", *(partition("sda", n, 8) for n in (1, 2, 3)))
    reason = Reason("swap", "it is used as swap")
    live = LiveReport(used=True, fallback=reason, dirty_bytes=[4096])
    step = StepReport("/dev/sda1", "ext4", ["/"], "frozen", 1.0, 0.5)
    return sync_report({"live": live, "scope_reason": reason, "quiesce": [step]}, source=source).as_dict()


def assert_same_fields(fields: dict[str, Any], result: dict[str, Any]) -> None:
    assert set(result) == set(fields)
    for name, field in fields.items():
        value = result[name]
        if value is None:
            continue
        assert isinstance(value, TYPES[field["type"]]), name
        if isinstance(value, dict) and "contains" in field:
            assert_same_fields(field["contains"], value)
        for item in value if isinstance(value, list) and "contains" in field else ():
            assert_same_fields(field["contains"], item)


def test_every_field_is_documented_and_every_documented_one_is_there() -> None:
    assert_same_fields(documented(), returned())
