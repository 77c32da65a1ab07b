# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files with the file systems of real mkfs programs, for tests that need no root."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Image = Callable[..., Path]


def maker(directory: Path) -> Image:
    """What makes an image in ``directory``: of ``size`` bytes, by a command that gets its path as the last argument."""

    def make(size: int, *command: str) -> Path:
        path = directory / "image"
        with open(path, "wb") as file:
            file.truncate(size)
        subprocess.run([*command, str(path)], check=True, capture_output=True)
        return path

    return make
