# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One version for the collection, the core and the command."""

from __future__ import annotations

import re

import pytest

import blksync
from blksync.cli import main
from tests.tooling.paths import ROOT


def test_the_core_has_the_collections_version() -> None:
    declared = re.search(r"^version: (\S+)$", (ROOT / "galaxy.yml").read_text(), re.MULTILINE)
    assert declared is not None
    assert blksync.__version__ == declared.group(1)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"blksync {blksync.__version__}\n"
