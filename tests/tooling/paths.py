# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the project's tools find and leave things."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
RESULTS = BUILD / "results"
"""JUnit XML, one file a stage."""

COLLECTIONS = BUILD / "collections"
"""Where the built collection is installed: ANSIBLE_COLLECTIONS_PATH of the tests and the demo."""

SOURCE_TREE = BUILD / "ansible_collections" / "blksync" / "backup"
"""A copy of the sources under the path by which mypy knows a collection."""

SANITY_TREE = BUILD / "sanity" / "ansible_collections" / "blksync" / "backup"
"""The same for ansible-test alone, which takes its time and must not see the files change."""

VENV_BIN = ROOT / ".venv" / "bin"
