# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which core is tried on which Python, and what is said of it."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.tooling.core_table import table, tried_new
from tests.tooling.core_tests import BETWEEN, EDGES, OWN_COLLECTION, SAMPLE, complaints_about_us, sample, with_status
from tests.tooling.cores import CORES, NEWER_THAN, Core, as_numbers, by_version, choose, is_new, sanity_options
from tests.tooling.paths import ROOT
from tests.tooling.pythons import MANAGED_HOST_VERSIONS
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case

EVERYWHERE = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
CORE = Core("2.21", ("3.12", "3.13", "3.14"), "3.9")
OLD = Core("2.18", ("3.11", "3.12", "3.13"), "3.8")
RELEASED = [core for core in CORES if core.version != "2.22"]


@pytest.mark.parametrize(
    ("core", "found", "usual", "deep"),
    [
        (CORE, EVERYWHERE, ["3.12"], ["3.12", "3.13"]),
        (OLD, EVERYWHERE, ["3.11"], ["3.11", "3.13"]),
        (OLD, ("3.11",), ["3.11"], ["3.11"]),
        (CORE, ("3.11",), [], []),
    ],
)
def test_the_oldest_python_is_chosen(core: Core, found: tuple[str, ...], usual: list[str], deep: list[str]) -> None:
    """In depth the newest one is chosen too, none twice."""
    assert choose(core, found, deep=False) == usual
    assert choose(core, found, deep=True) == deep


def test_versions_are_compared_as_numbers() -> None:
    assert as_numbers("3.9") < as_numbers("3.10")
    assert not is_new(NEWER_THAN)
    assert not is_new("2.9.27")
    assert is_new("2.21.5")


def test_sanity_runs_on_the_oldest_target_that_is_here() -> None:
    assert sanity_options(CORE, "3.12", EVERYWHERE) == [
        "--controller=origin:python=3.12",
        "--target-python=3.9",
        "--target-python=3.12",
    ]
    assert sanity_options(CORE, "3.12", ["3.12"])[1:] == ["--target-python=3.12"]
    assert sanity_options(CORE, "3.14", [])[1:] == ["--target-python=3.14"]


def test_older_cores_look_at_what_their_users_run() -> None:
    assert sanity_options(OLD, "3.11", EVERYWHERE)[1:] == ["--target-python=3.8", "--target-python=3.11", "plugins/"]


def test_the_table_agrees_with_what_users_read() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    assert runtime["requires_ansible"] == f">={CORES[0].version}.0"
    assert CORES[0].oldest_target == MANAGED_HOST_VERSIONS[0]
    readme = (ROOT / "README.md").read_text()
    newer = [core for core in RELEASED if core.oldest_target != CORES[0].oldest_target]
    assert f"ansible-core {newer[0].version} and later need Python {newer[0].oldest_target}" in readme
    assert {core.oldest_target for core in newer} == {newer[0].oldest_target}
    bounds = re.search(r"^ansible-core>=(.*),<(.*)$", (ROOT / "tests/requirements.txt").read_text(), re.MULTILINE)
    assert bounds
    assert bounds.groups() == (CORES[0].version, CORES[-1].version)


def test_the_sample_exists() -> None:
    for name in (*SAMPLE, *EDGES, *BETWEEN):
        path, _colons, test = name.partition("::")
        assert (ROOT / path).exists()
        assert not test or f"def {test}(" in (ROOT / path).read_text()


def test_roles_and_readme_are_run_with_the_oldest_and_the_new_cores() -> None:
    assert [core.version for core in CORES if set(EDGES) <= set(sample(core))] == ["2.18", "2.21", "2.22"]
    assert all(any(name.startswith("tests/roles") for name in sample(core)) for core in CORES)


def test_a_row_for_each_core_and_python() -> None:
    cases = [
        Case("2.21.5 on Python 3.12: sanity: pylint", PASSED),
        Case("2.21.5 on Python 3.12: sanity: import", FAILED, "why"),
        Case("2.21.5 on Python 3.12: tests: a::b", SKIPPED, "no root"),
        Case("2.18.1 on Python 3.11: sanity: pylint", PASSED),
        Case("2.22 on Python 3.13: install: ansible-core", SKIPPED, "pip has none"),
    ]
    assert table(cases).splitlines()[2:] == [
        "| 2.21.5 | 3.12 | 1 failed, 1 passed | - | 1 skipped | failed |",
        "| 2.18.1 | 3.11 | 1 passed | - | - | passed |",
        "| 2.22 | 3.13 | - | - | - | skipped: pip has none |",
    ]


def test_a_new_core_must_be_tried() -> None:
    old = [Case("2.20.9 on Python 3.12: sanity: pylint", PASSED)]
    new = "2.21.5 on Python 3.12: sanity: pylint"
    assert not tried_new(old)
    assert not tried_new([*old, Case(new, SKIPPED)])
    assert tried_new([*old, Case(new, FAILED)])


def test_a_warning_of_ansible_doc_about_itself_is_none_about_us() -> None:
    own = f"[WARNING]: Collection at '/x{OWN_COLLECTION}' does not have a MANIFEST.json file.\n\n"
    ours = "[WARNING]: blksync.backup.disk_info was not processed"
    assert complaints_about_us(own) == ""
    assert complaints_about_us(own + ours) == ours


def test_a_bad_exit_status_is_a_failed_case() -> None:
    passed = [Case("a", PASSED)]
    assert with_status(passed, "pytest", 0) == passed
    assert with_status(passed, "pytest", 4) == [*passed, Case("pytest", FAILED, "exit status 4")]
    assert with_status([Case("a", FAILED)], "pytest", 1) == [Case("a", FAILED)]


def test_cores_are_in_order_and_found_by_version() -> None:
    assert [core.version for core in CORES] == sorted((core.version for core in CORES), key=as_numbers)
    assert by_version("2.18") == CORES[0]
