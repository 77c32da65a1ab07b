# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pytest fixtures that start machines; tests that cannot have one are skipped and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .host import missing
from .machines import Machines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def vm_host() -> None:
    """Skip what needs a virtual machine where none can be built and run."""
    reasons = missing()
    if reasons:
        pytest.skip("no virtual machines here: " + "; ".join(reasons))


@pytest.fixture
def machines(vm_host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Machines of one test."""
    with Machines(tmp_path_factory.mktemp("machines")) as started:
        yield started


@pytest.fixture(scope="module")
def module_machines(vm_host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Machines that the tests of one file share."""
    with Machines(tmp_path_factory.mktemp("machines")) as started:
        yield started
