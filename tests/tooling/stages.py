# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each suite of tests runs: a list of stages, each one command.

A stage whose command writes build/results/NAME.xml counts as the tests in there, any other as one test.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tests.tooling.cores import CORES as ALL_CORES

PYTHON = sys.executable
CORE = "plugins/module_utils/blksync"
PLUGINS = "ansible_collections.blksync.backup.plugins"
ADAPTER = f"{PLUGINS}.module_utils.ansible_adapter"
# For mypy: the core is checked once, by itself.
SILENT = ("--follow-imports=silent",)
# For antsibull-docs: plugins too, and references to them.
DOCS = ("--plugin-docs", "--validate-collection-refs=self")


@dataclass(frozen=True)
class Stage:
    """A command to run in the root."""

    name: str
    command: tuple[str, ...]


def tool(name: str, *command: str) -> Stage:
    """A stage that runs one of the project's own tools: a module in tests/tooling with its arguments."""
    return Stage(name, (PYTHON, "-m", *command))


def tests(name: str, directory: str, *options: str) -> Stage:
    """A stage that runs pytest on a directory."""
    results = f"--junitxml=build/results/{name}.xml"
    return Stage(name, (PYTHON, "-m", "pytest", directory, results, *options))


def mypy(name: str, version: str, *options: str) -> Stage:
    """A stage that checks types as a version of Python would see them."""
    return Stage(
        name, (PYTHON, "-m", "mypy", f"--python-version={version}", f"--cache-dir=.mypy_cache/{name}", *options)
    )


BUILD = tool("collection-build", "tests.tooling.collection", "install")
CHECK_CODE = (
    Stage("ruff-check", ("ruff", "check", "--quiet", ".")),
    Stage("ruff-format", ("ruff", "format", "--check", "--quiet", ".")),
    mypy("mypy-core", "3.8", CORE),
    mypy("mypy-modules", "3.8", *SILENT, f"--package={PLUGINS}.modules", f"--module={ADAPTER}"),
    mypy("mypy-tests", "3.11", *SILENT, "tests", "examples/demo", "noxfile.py"),
    # Without a cache, which would be a directory in the clone.
    Stage("import-linter", ("env", "PYTHONPATH=plugins/module_utils", "lint-imports", "--no-cache", "--no-logo")),
    tool("architecture", "tests.tooling.architecture", "--check"),
    Stage("yamllint", ("yamllint", "--strict", ".")),
    Stage("reuse", ("reuse", "lint", "--lines")),
    tool("core-pythons", "tests.tooling.check_pythons"),
)
CHECK_COLLECTION = (
    tool("sanity", "tests.tooling.sanity"),
    tool("galaxy-importer", "tests.tooling.galaxy_import"),
    Stage("ansible-lint", ("ansible-lint", "--offline", "--profile", "production", "--strict")),
    Stage("antsibull-docs", ("antsibull-docs", "lint-collection-docs", *DOCS, ".")),
    tool("docs", "tests.tooling.docs"),
    Stage("antsibull-changelog", ("antsibull-changelog", "lint")),
)

# Each process has mounts and state directories of its own (tests/support/own_mounts.py). The tests of one file of
# integration share disks that take long to make; those of faults make their own or leave them as they were.
UNIT = ("tests/unit", "--numprocesses=2")
INTEGRATION = ("tests/integration", "--numprocesses=2", "--dist=loadfile")
ROLES = ("tests/roles", "--numprocesses=2", "--dist=worksteal")
FAULTS = ("tests/faults", "--numprocesses=2", "--dist=worksteal")
COVERAGE = ("--cov", "--cov-report=term", "--cov-report=html")
DEEP = ("--depth=full", "--deep-only")
LONG = ("--depth=long", "--deep-only")

# Side by side, the longest first: either has one machine at a time, and what a machine does mostly needs one processor.
VM = (
    tool("molecule", "tests.tooling.molecule_scenarios"),
    tests("vm", "tests/vm", "--depth=full"),
)


def cores(*depth: str, beside: tuple[Stage, ...] = ()) -> tuple[Stage | tuple[Stage, ...], ...]:
    """The stages that try the collection with each ansible-core, and then show what came of it as a table.

    Those ``beside`` begin before them, and run side by side with them.
    """
    each = [tool(f"core-{core.version}", "tests.tooling.core_tests", core.version, *depth) for core in ALL_CORES]
    return ((*beside, *each), tool("cores", "tests.tooling.core_table"))


LINT = (BUILD, (*CHECK_COLLECTION, *CHECK_CODE))
TEST = (
    BUILD,
    # ansible-test sanity takes longer than everything beside it, and one processor.
    (*CHECK_COLLECTION, *CHECK_CODE, tests("unit", *UNIT)),
    tests("integration", *INTEGRATION),
    tests("roles", *ROLES),
    tests("faults", *FAULTS),
)

Suite = tuple[Stage | tuple[Stage, ...], ...]
"""Stages in the order in which they run; those of an inner tuple run side by side."""

SUITES: dict[str, Suite] = {
    "lint": LINT,
    "quick": (BUILD, CHECK_CODE, tests("unit", *UNIT)),
    "unit": (tests("unit", *UNIT),),
    "test": TEST,
    "coverage": (BUILD, tests("coverage", "tests/unit", *INTEGRATION, *COVERAGE)),
    "vm": (VM,),
    "full": (
        *TEST,
        tests("unit-deep", *UNIT, *DEEP),
        tests("integration-deep", *INTEGRATION, *DEEP),
        tests("roles-deep", *ROLES, *DEEP),
        tests("faults-deep", *FAULTS, *DEEP),
        # Scenarios take as long as all the others together, and leave one processor.
        *cores(beside=VM),
    ),
    "cores": cores(),
    "docs": (BUILD, tool("docs", "tests.tooling.docs")),
    "depth": (
        BUILD,
        tests("unit-long", *UNIT, *LONG),
        tests("integration-long", *INTEGRATION, *LONG),
        tests("faults-long", *FAULTS, *LONG),
        *cores("deep"),
    ),
}
