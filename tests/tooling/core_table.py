# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what core_tests.py found with each ansible-core as a table, and write it to build/results/cores.md.

Fails if no core newer than NEWER_THAN could be tried.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tests.tooling.cores import CORES, NEWER_THAN, is_new
from tests.tooling.paths import RESULTS
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case, read_junit

TABLE = RESULTS / "cores.md"
KINDS = ("sanity", "ansible-doc", "tests")


def table(cases: Iterable[Case]) -> str:
    """Return a row of Markdown for each core and Python."""
    rows: dict[str, list[Case]] = {}
    for case in cases:
        rows.setdefault(case.name.partition(":")[0], []).append(case)
    lines = [["ansible-core", "Python", *KINDS, "result"], ["---"] * (len(KINDS) + 3)]
    lines += [row(name, row_cases) for name, row_cases in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def row(name: str, cases: list[Case]) -> list[str]:
    """Return the cells for a core on a Python, "2.21.5 on Python 3.12"."""
    core, _on, python = name.partition(" on ")
    kinds = [cell([case for case in cases if case.name.startswith(f"{name}: {kind}: ")]) for kind in KINDS]
    return [core, python.removeprefix("Python "), *kinds, result(cases)]


def cell(cases: list[Case]) -> str:
    """Return "1 failed, 2 passed" without the outcomes that did not come."""
    outcomes = [case.outcome for case in cases]
    counted = [f"{outcomes.count(each)} {each}" for each in (FAILED, PASSED, SKIPPED) if each in outcomes]
    return ", ".join(counted) or "-"


def result(cases: list[Case]) -> str:
    """Return the worst outcome; the reason if nothing ran."""
    if any(case.outcome == FAILED for case in cases):
        return FAILED
    return PASSED if any(case.outcome == PASSED for case in cases) else f"skipped: {cases[0].reason}"


def tried_new(cases: Iterable[Case]) -> bool:
    """Whether a core newer than NEWER_THAN was tried, whatever came of it."""
    return any(case.outcome != SKIPPED and is_new(case.name.partition(" ")[0]) for case in cases)


def main() -> int:
    """Print and write the table; return the exit status."""
    reports = [RESULTS / f"core-{core.version}.xml" for core in CORES]
    cases = [case for report in reports if report.exists() for case in read_junit(report)]
    text = table(cases)
    print(text, end="", flush=True)
    TABLE.write_text(text)
    if tried_new(cases):
        return 0
    print(f"No ansible-core newer than {NEWER_THAN} could be tried: Python 3.12 or later is needed.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
