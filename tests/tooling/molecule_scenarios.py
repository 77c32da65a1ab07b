# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every Molecule scenario of extensions/molecule (or those named as arguments), each as one test.

A directory there is a scenario when it has a molecule.yml. One that needs something of the machine has an executable
"unavailable" beside that file: where the scenario cannot run, it prints the reason and succeeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.tooling.paths import RESULTS, ROOT
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case, write_junit

SCENARIOS = ROOT / "extensions" / "molecule"


def run_scenario(directory: Path) -> Case:
    """Run one scenario through its whole test sequence."""
    reason = find_obstacle(directory / "unavailable")
    if reason:
        return Case(directory.name, SKIPPED, reason)
    # Molecule finds its scenarios below extensions/ only when it starts in the collection's root.
    run = subprocess.run(["molecule", "test", "--scenario-name", directory.name], cwd=ROOT, check=False)
    return (
        Case(directory.name, FAILED, f"exit status {run.returncode}")
        if run.returncode
        else Case(directory.name, PASSED)
    )


def find_obstacle(check: Path) -> str:
    """Return why a scenario cannot run here, or nothing."""
    if not os.access(check, os.X_OK):
        return ""
    run = subprocess.run([check], stdout=subprocess.PIPE, text=True, check=False)
    return "" if run.returncode else run.stdout.strip() or "not available here"


def main(names: list[str]) -> int:
    """Run the scenarios and return the exit status."""
    directories = [SCENARIOS / name for name in names] or sorted(
        file.parent for file in SCENARIOS.glob("*/molecule.yml")
    )
    cases = []
    for directory in directories:
        started = time.monotonic()
        cases.append(run_scenario(directory))
        print(f"molecule {directory.name}: {cases[-1].outcome} in {time.monotonic() - started:.1f} s", flush=True)
    write_junit(RESULTS / "molecule.xml", "molecule", cases)
    return any(case.outcome == FAILED for case in cases)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
