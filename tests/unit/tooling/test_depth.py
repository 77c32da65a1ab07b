# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/conftest.py decides by depth and needs; it runs here on a small test file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[3]
CONFTEST = ROOT / "tests" / "conftest.py"
INI = f"""
[pytest]
pythonpath = {ROOT} {ROOT / "plugins" / "module_utils"}
markers =
    full: deep
    long: for hours
    needs(*what): needs
"""
TESTS = """
import pytest
from hypothesis import given, strategies

def test_plain(): pass

@pytest.mark.full
def test_deep(): pass

def test_longer_in_depth(depth):
    assert depth in ("sample", "full", "long")

@pytest.mark.long
def test_for_hours(): pass

@given(strategies.integers())
def test_property(number): pass

@pytest.mark.needs("no-such-command")
def test_needy(): pass
"""


@pytest.mark.parametrize(
    ("options", "passed", "skipped", "deselected"),
    [
        pytest.param([], 3, 1, 2, id="sample"),
        pytest.param(["--depth=full"], 4, 1, 1, id="full"),
        pytest.param(["--depth=full", "--deep-only"], 3, 0, 3, id="beyond the sample"),
        pytest.param(["--depth=long"], 5, 1, 0, id="long"),
        pytest.param(["--depth=long", "--deep-only"], 4, 0, 2, id="what grows with depth"),
    ],
)
def test_depth_selects(
    pytester: pytest.Pytester, options: list[str], passed: int, skipped: int, deselected: int
) -> None:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini(INI)
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-rs", "-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=passed, skipped=skipped, deselected=deselected)
    if skipped:
        result.stdout.fnmatch_lines(["SKIPPED*needs the command no-such-command"])
