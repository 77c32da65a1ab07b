# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the Python interpreters on this machine that the core and the modules promise to run on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

MANAGED_HOST_VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def search_path() -> str:
    """Return PATH with pyenv's interpreters before its shims, which fail for versions that are not selected."""
    return os.pathsep.join([*_pyenv_dirs(), os.environ.get("PATH", os.defpath)])


def _pyenv_dirs() -> list[str]:
    if not shutil.which("pyenv"):
        return []
    root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    return [str(directory) for directory in sorted(Path(root).glob("versions/*/bin"))] if root else []


def find_pythons(versions: Iterable[str] = MANAGED_HOST_VERSIONS) -> dict[str, str]:
    """Return the interpreters of these versions that start, as version ("3.8") to path, in the order of versions."""
    path = search_path()
    found = {version: shutil.which(f"python{version}", path=path) for version in versions}
    return {version: python for version, python in found.items() if python and _starts(python)}


def _starts(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
