# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test results: read and write them as JUnit XML, count them, list what was skipped."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Case:
    """One test: its name, an outcome (PASSED, FAILED or SKIPPED) and the reason when it did not pass."""

    name: str
    outcome: str
    reason: str = ""


def read_junit(path: Path) -> list[Case]:
    """Return the cases of a JUnit XML file, in its order. Raises OSError or ET.ParseError."""
    return [_parse_case(element) for element in ET.parse(path).getroot().iter("testcase")]


def _parse_case(element: ET.Element) -> Case:
    name = "::".join(part for part in (element.get("classname"), element.get("name")) if part)
    for tag, outcome in (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED)):
        found = element.find(tag)
        if found is not None:
            return Case(name, outcome, found.get("message") or (found.text or "").strip())
    return Case(name, PASSED)


def write_junit(path: Path, suite: str, cases: Iterable[Case]) -> None:
    """Write cases as one JUnit XML test suite; the directory is made when missing."""
    root = ET.Element("testsuite", name=suite)
    for case in cases:
        element = ET.SubElement(root, "testcase", name=case.name)
        if case.outcome != PASSED:
            ET.SubElement(element, "failure" if case.outcome == FAILED else "skipped", message=case.reason)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def closing_line(cases: Iterable[Case]) -> str:
    """Return "N passed, N failed, N skipped"."""
    outcomes = [case.outcome for case in cases]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in (PASSED, FAILED, SKIPPED))


def list_skipped(cases: Iterable[Case]) -> list[str]:
    """Return one line for each reason to skip, with the tests that it concerns, in the order of first appearance."""
    by_reason: dict[str, list[str]] = {}
    for case in cases:
        if case.outcome == SKIPPED:
            by_reason.setdefault(case.reason or "no reason given", []).append(case.name)
    return [f"{reason}: {', '.join(names)}" for reason, names in by_reason.items()]
