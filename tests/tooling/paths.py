# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the project's tools find and leave things."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
RESULTS = BUILD / "results"
"""JUnit XML, one file a stage."""

VENV_BIN = ROOT / ".venv" / "bin"
ANSIBLE_VARIABLE = "BLKSYNC_ANSIBLE_BIN"
ANSIBLE_BIN = Path(os.environ.get(ANSIBLE_VARIABLE, VENV_BIN))
"""The directory with Ansible's commands: that of .venv, or of the core that tests/tooling/core_tests.py tries."""

COLLECTIONS = BUILD / "collections" if ANSIBLE_BIN == VENV_BIN else ANSIBLE_BIN.parent / "collections"
"""Where the built collection is installed: ANSIBLE_COLLECTIONS_PATH of the tests and the demo."""

SOURCE_TREE = BUILD / "ansible_collections" / "blksync" / "backup"
"""A copy of the sources under the path by which mypy knows a collection."""
