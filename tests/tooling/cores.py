# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ansible-core runs on which Python. core_tests.py compares the table with each core's own word."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Core:
    """A minor version of ansible-core: the Pythons of controllers, oldest first, and the oldest of managed hosts.

    Source: CONTROLLER_PYTHON_VERSIONS and REMOTE_ONLY_PYTHON_VERSIONS in
    ansible_test/_util/target/common/constants.py, and _PY_MIN in ansible/module_utils/basic.py.
    """

    version: str
    controllers: tuple[str, ...]
    oldest_target: str


CORES = (
    Core("2.18", ("3.11", "3.12", "3.13"), "3.8"),
    Core("2.19", ("3.11", "3.12", "3.13"), "3.8"),
    Core("2.20", ("3.12", "3.13", "3.14"), "3.9"),
    Core("2.21", ("3.12", "3.13", "3.14"), "3.9"),
    # Not released yet. Expected: the Pythons have changed with every second version.
    Core("2.22", ("3.13", "3.14", "3.15"), "3.10"),
)
CONTROLLER_VERSIONS = tuple(dict.fromkeys(version for core in CORES for version in core.controllers))
NEWER_THAN = "2.20"
"""At least one core newer than this must be tried."""


def by_version(version: str) -> Core:
    """Return the core "2.21". Raises KeyError."""
    return {core.version: core for core in CORES}[version]


def is_new(version: str) -> bool:
    """Whether "2.21" or "2.21.5" is a core newer than NEWER_THAN."""
    return as_numbers(version) > as_numbers(NEWER_THAN)


def as_numbers(version: str) -> tuple[int, ...]:
    """Return major and minor version as numbers."""
    return tuple(int(part) for part in version.split(".")[:2])


def choose(core: Core, found: Collection[str], deep: bool) -> list[str]:
    """Return the Pythons to try a core on: the oldest one found that it runs on, in depth the newest one too."""
    usable = [version for version in core.controllers if version in found]
    return list(dict.fromkeys([*usable[:1], *usable[-1:]])) if deep else usable[:1]


def sanity_options(core: Core, python: str, targets: Collection[str]) -> list[str]:
    """Return ansible-test's options: the Python of the controller, the oldest one of managed hosts, and which files.

    The new cores look at everything. The older ones look at what their users run; with the core of .venv, make lint
    looks at everything.
    """
    oldest = next(version for version in (*targets, python) if as_numbers(version) >= as_numbers(core.oldest_target))
    pythons = [f"--target-python={version}" for version in dict.fromkeys([oldest, python])]
    return [f"--controller=origin:python={python}", *pythons, *([] if is_new(core.version) else ["plugins/"])]
