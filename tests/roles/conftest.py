# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test of a role has a host of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.role_host import Host, made_or_skipped


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """This machine, with all changes thrown away at the end."""
    with made_or_skipped(tmp_path) as made:
        yield made
