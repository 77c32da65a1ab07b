# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests in virtual machines."""

from __future__ import annotations

import pytest

from .fixtures import machines, module_machines, vm_host

__all__ = ["machines", "module_machines", "vm_host"]

LIMIT = 900  # seconds; above the time that a machine is given to boot, whose error shows its console


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give every test here the time that emulated machines need, unless it asks for its own."""
    if not item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(LIMIT))
