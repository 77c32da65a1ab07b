# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import each module of the core, with nothing but the standard library, in every supported Python found here."""

from __future__ import annotations

import subprocess
import sys

from tests.tooling.paths import RESULTS, ROOT
from tests.tooling.pythons import MANAGED_HOST_VERSIONS, find_pythons
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case, write_junit

# Runs in the interpreter under test, isolated from site-packages (-I -S), so that only the standard library is there.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import blksync
for module in pkgutil.walk_packages(blksync.__path__, "blksync."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def check(version: str, python: str | None) -> Case:
    """Import the whole core with one interpreter."""
    name = f"core on Python {version}"
    if python is None:
        return Case(name, SKIPPED, "interpreter not found")
    command = [python, "-I", "-S", "-W", "error", "-c", IMPORT_ALL, str(ROOT / "plugins" / "module_utils")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        print(f"{name}: {run.stderr}", file=sys.stderr)
        return Case(name, FAILED, run.stderr.strip().rpartition("\n")[2])
    return Case(name, PASSED)


def main() -> int:
    """Check every version; return the exit status."""
    pythons = find_pythons()
    cases = [check(version, pythons.get(version)) for version in MANAGED_HOST_VERSIONS]
    for case in cases:
        print(f"{case.name}: {case.outcome}{case.reason and ', ' + case.reason}")
    write_junit(RESULTS / "core-pythons.xml", "core-pythons", cases)
    return any(case.outcome == FAILED for case in cases)


if __name__ == "__main__":
    sys.exit(main())
