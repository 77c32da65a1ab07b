# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test of a role has a host of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.role_host import Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """This machine, with all changes thrown away at the end."""
    if os.geteuid():
        pytest.skip("needs root")
    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(Host(tmp_path).mount())
        except OSError as error:
            pytest.skip(f"needs overlays: {error}")
        yield host
