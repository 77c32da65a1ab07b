# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tests.tooling import run_stages
from tests.tooling.paths import ROOT
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case, closing_line, list_skipped, read_junit, write_junit
from tests.tooling.stages import SUITES, Stage

GOOD, BAD = Case("a", PASSED), Case("b", FAILED, "wrong")

PYTEST_REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
<testcase classname="tests.unit.test_x" name="test_good" time="0.1" />
<testcase classname="tests.unit.test_x" name="test_bad"><failure message="assert 1 == 2">long text</failure></testcase>
<testcase classname="tests.unit.test_x" name="test_odd"><error message="failed on setup">long text</error></testcase>
<testcase classname="tests.unit.test_x" name="test_out"><skipped type="pytest.skip" message="needs root" /></testcase>
</testsuite></testsuites>
"""


def test_reads_what_pytest_writes(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(PYTEST_REPORT)
    cases = read_junit(tmp_path / "report.xml")
    assert [case.outcome for case in cases] == [PASSED, FAILED, FAILED, SKIPPED]
    assert cases[3] == Case("tests.unit.test_x::test_out", SKIPPED, "needs root")
    assert closing_line(cases) == "1 passed, 2 failed, 1 skipped"


def test_reads_the_reason_that_ansible_test_writes_as_text(tmp_path: Path) -> None:
    report = '<testsuite><testcase name="a"><skipped>No tests applicable.</skipped></testcase></testsuite>'
    (tmp_path / "report.xml").write_text(report)
    assert read_junit(tmp_path / "report.xml") == [Case("a", SKIPPED, "No tests applicable.")]


def test_reads_back_what_it_writes(tmp_path: Path) -> None:
    cases = [GOOD, BAD, Case("c", SKIPPED, "needs <root> & more")]
    write_junit(tmp_path / "new" / "report.xml", "suite", cases)
    assert read_junit(tmp_path / "new" / "report.xml") == cases


def test_skipped_tests_are_listed_by_reason() -> None:
    cases = [Case("a", SKIPPED, "needs root"), GOOD, Case("b", SKIPPED), Case("c", SKIPPED, "needs root")]
    assert list_skipped(cases) == ["needs root: a, c", "no reason given: b"]


@pytest.mark.parametrize(
    ("status", "reported", "expected"),
    [
        (0, None, "1 passed, 0 failed, 0 skipped"),
        (2, None, "0 passed, 1 failed, 0 skipped"),
        (0, [GOOD, GOOD], "2 passed, 0 failed, 0 skipped"),
        (1, [GOOD, BAD], "1 passed, 1 failed, 0 skipped"),
        (5, [], "0 passed, 0 failed, 0 skipped"),
        pytest.param(3, [GOOD], "1 passed, 1 failed, 0 skipped", id="crashed after its report"),
        pytest.param(-9, [], "0 passed, 1 failed, 0 skipped", id="killed"),
    ],
)
def test_a_bad_end_is_never_lost(status: int, reported: list[Case] | None, expected: str) -> None:
    assert closing_line(run_stages.judge("stage", status, reported)) == expected


def test_a_command_that_is_not_there_fails() -> None:
    assert [case.outcome for case in run_stages.run_stage(Stage("x", ("/no/such/program",)))] == [FAILED]


def test_a_failed_stage_does_not_hide_the_next(capfd: pytest.CaptureFixture[str]) -> None:
    cases = run_stages.run_suite((Stage("one", ("false",)), Stage("two", ("true",))))
    run_stages.print_summary(cases)
    assert capfd.readouterr().out.splitlines()[-2:] == ["FAILED one (exit status 1)", "1 passed, 1 failed, 0 skipped"]


def test_stages_side_by_side_keep_their_output_apart(capfd: pytest.CaptureFixture[str]) -> None:
    stages = tuple(Stage(name, ("sh", "-c", f"echo {name}; sleep 0.01; echo {name}")) for name in ("one", "two"))
    cases = run_stages.run_suite((stages,))
    assert sorted(case.name for case in cases) == ["one", "two"]
    output = capfd.readouterr().out
    assert "one\none\n---" in output
    assert "two\ntwo\n---" in output


def test_stages_side_by_side_show_signs_of_life(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_stages, "SIGN_OF_LIFE", 0.01)
    seen = tmp_path / "seen"
    slow = Stage("slow", ("sh", "-c", f"echo at work; until test -e {seen}; do sleep 0.01; done"))
    signs = run_stages.print_signs_of_life

    def noted(asides: list[run_stages.Aside]) -> None:
        signs(asides)
        if any(aside.sign_of_life().endswith("s: at work") for aside in asides):
            seen.touch()

    monkeypatch.setattr(run_stages, "print_signs_of_life", noted)
    assert run_stages.run_suite(((slow,),)) == [Case("slow", PASSED)]
    output = capfd.readouterr().out
    assert "... slow runs for " in output
    assert output.count("=== slow") == 1


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_signal_lets_what_runs_clean_up_first(tmp_path: Path, side_by_side: bool) -> None:
    started, cleaned = tmp_path / "started", tmp_path / "cleaned"
    work = f"touch {started}; while test -d /proc/$PPID; do sleep 0.01; done"
    script = f"trap 'sleep 0.2; touch {cleaned}; exit' TERM; {work}"
    stage = Stage("slow", ("sh", "-c", script))
    step = (stage,) if side_by_side else stage
    program = "import sys\nfrom tests.tooling import run_stages\nfrom tests.tooling.stages import Stage\n"
    program += f"run_stages.SUITES['one'] = ({step!r},)\nsys.exit(run_stages.main('one'))\n"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE) as process:
        wait_for(started.exists)
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert cleaned.exists()


def test_stages_of_a_suite_have_names_of_their_own() -> None:
    for suite in SUITES.values():
        names = [stage.name for step in suite for stage in (step if isinstance(step, tuple) else (step,))]
        assert len(names) == len(set(names))
