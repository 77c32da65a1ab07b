# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-builder takes the example of an execution environment, and finds what the collection declares to need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.support.ansible import ansible_environment
from tests.tooling.paths import COLLECTIONS, ROOT, VENV_BIN


def builder(*arguments: str | Path) -> str:
    """Run ansible-builder; AssertionError with its output if it fails."""
    command = [VENV_BIN / "ansible-builder", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_example_is_a_definition(tmp_path: Path) -> None:
    definition = ROOT / "examples" / "execution-environment.yml"
    context = tmp_path / "context"
    builder("create", "--file", definition, "--context", context)
    assert "ansible-core>=2.18" in (context / "Dockerfile").read_text()
    required = yaml.safe_load((context / "_build" / "requirements.yml").read_text())
    assert required["collections"] == [{"name": "https://github.com/blksync/backup.git", "type": "git"}]


def test_the_controller_needs_no_package() -> None:
    ansible_environment()  # has the collection installed
    found = yaml.safe_load(builder("introspect", COLLECTIONS))
    assert found == {"python": [], "system": []}
