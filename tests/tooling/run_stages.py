# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the stages of a suite one after the other and close with "N passed, N failed, N skipped".

    python -m tests.tooling.run_stages SUITE

A stage that fails does not keep the others from running. Before the closing line stand the skipped tests with their
reasons and the failed ones. The exit status is 0 only when nothing failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import IO

from tests.tooling.paths import BUILD, COLLECTIONS, RESULTS, ROOT, VENV_BIN
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case, closing_line, list_skipped, read_junit
from tests.tooling.stages import SUITES, Stage, Suite

PYTEST_NO_TESTS = 5


def environment() -> dict[str, str]:
    """Return the environment of every stage: the tools of .venv first, the collection as it was installed in build/."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(VENV_BIN), os.environ.get("PATH", os.defpath)]),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_HOME": str(BUILD / "ansible-home"),
        "PYTHONUNBUFFERED": "1",
    }


def run_stage(stage: Stage, output: IO[bytes] | None = None) -> list[Case]:
    """Run one stage, with its output on the terminal or in a file, and return its cases."""
    if stage.needs and not (ROOT / stage.needs).exists():
        return [Case(stage.name, SKIPPED, f"{stage.needs} is not there yet")]
    report = RESULTS / f"{stage.name}.xml"
    report.unlink(missing_ok=True)
    try:
        run = subprocess.run(
            stage.command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    except OSError as error:
        return [Case(stage.name, FAILED, str(error))]
    return judge(stage.name, run.returncode, read_report(stage.name, report))


def read_report(name: str, report: Path) -> list[Case] | None:
    """Return the cases that a stage wrote, None when it wrote none, one failed case when they cannot be read."""
    try:
        return [Case(f"{name}: {case.name}", case.outcome, case.reason) for case in read_junit(report)]
    except FileNotFoundError:
        return None
    except (OSError, ET.ParseError) as error:
        return [Case(name, FAILED, f"its report cannot be read: {error}")]


def judge(name: str, status: int, reported: list[Case] | None) -> list[Case]:
    """Return the cases of a stage; a bad exit status that no reported case accounts for is one more failed case."""
    if reported is None:
        return [Case(name, FAILED, f"exit status {status}") if status else Case(name, PASSED)]
    if status in (0, PYTEST_NO_TESTS) or any(case.outcome == FAILED for case in reported):
        return reported
    return [*reported, Case(name, FAILED, f"exit status {status}")]


def run_suite(suite: Suite) -> list[Case]:
    """Run all stages, with a headline and the time of each."""
    cases = []
    for step in suite:
        cases += run_one(step) if isinstance(step, Stage) else run_side_by_side(step)
    return cases


def run_one(stage: Stage) -> list[Case]:
    """Run a stage on the terminal."""
    print_headline(stage)
    started = time.monotonic()
    cases = run_stage(stage)
    print_end(stage, cases, time.monotonic() - started)
    return cases


def run_side_by_side(stages: tuple[Stage, ...]) -> list[Case]:
    """Run as many stages at once as there are processors; each one's output appears when it has ended."""
    cases = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for ended in as_completed([pool.submit(run_aside, stage) for stage in stages]):
            stage, found, output, seconds = ended.result()
            print_headline(stage)
            print(output, end="")
            print_end(stage, found, seconds)
            cases += found
    return cases


def run_aside(stage: Stage) -> tuple[Stage, list[Case], str, float]:
    """Run a stage away from the terminal; return it with its cases, its output and its time in seconds."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        cases = run_stage(stage, output)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return stage, cases, text, time.monotonic() - started


def print_headline(stage: Stage) -> None:
    """Print what runs."""
    print(f"\n=== {stage.name}: {' '.join(stage.command)}", flush=True)


def print_end(stage: Stage, cases: list[Case], seconds: float) -> None:
    """Print how a stage ended."""
    print(f"--- {stage.name}: {closing_line(cases)} in {seconds:.1f} s", flush=True)


def print_summary(cases: list[Case]) -> None:
    """Print what was skipped and why, what failed, and the closing line."""
    print()
    for line in list_skipped(cases):
        print(f"SKIPPED {line}")
    for case in cases:
        if case.outcome == FAILED:
            print(f"FAILED {case.name} ({case.reason.partition(chr(10))[0]})")
    print(closing_line(cases), flush=True)


def main(suite: str) -> int:
    """Run a suite and return the exit status."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    cases = run_suite(SUITES[suite])
    print_summary(cases)
    return any(case.outcome == FAILED for case in cases)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
