# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the stages of a suite one after the other and close with "N passed, N failed, N skipped".

    python -m tests.tooling.run_stages SUITE

A stage that fails does not keep the others from running. Before the closing line stand the skipped tests with their
reasons and the failed ones. The exit status is 0 only when nothing failed.

A signal that ends this ends the stages that run: each is sent SIGTERM and may clean up before this process exits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from tests.tooling.paths import BUILD, COLLECTIONS, RESULTS, ROOT, VENV_BIN
from tests.tooling.results import FAILED, PASSED, Case, closing_line, list_skipped, read_junit
from tests.tooling.stages import SUITES, Stage, Suite

PYTEST_NO_TESTS = 5
SIGN_OF_LIFE = 60.0  # seconds without any output of stages that run side by side
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
TAIL = 4096  # bytes

_running: set[subprocess.Popen] = set()
_signals: list[int] = []


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
    """Run one stage, with its output on the terminal or in a file, and return its cases; none after a signal."""
    if _signals:
        return []
    report = RESULTS / f"{stage.name}.xml"
    report.unlink(missing_ok=True)
    try:
        process = subprocess.Popen(
            stage.command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    except OSError as error:
        return [Case(stage.name, FAILED, str(error))]
    with ended_with_us(process):
        return judge(stage.name, process.wait(), read_report(stage.name, report))


@contextmanager
def ended_with_us(process: subprocess.Popen) -> Iterator[None]:
    """Have a signal that ends this process end that one as well; wait for its end in any case."""
    _running.add(process)
    try:
        if _signals:  # it came before the process was known
            process.terminate()
        yield
    finally:
        process.wait()
        _running.discard(process)


def end(number: int, _frame: FrameType | None) -> None:
    """Send SIGTERM to the stages that run, once, and have no other begin; further signals disturb no cleaning.

    Raises nothing: it may strike between the start of a process and the moment that it is known.
    """
    if not _signals:
        _signals.append(number)
        for process in tuple(_running):
            process.terminate()
        message = f"run_stages: {signal.Signals(number).name}; waiting for what runs to clean up"
        print(message, file=sys.stderr, flush=True)


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
        if _signals:
            break
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
    """Run as many stages at once as there are processors; each one's output appears when it has ended.

    Until then, a line a minute says of each that it runs, and the last line of its output.
    """
    cases = []
    asides = [Aside(stage) for stage in stages]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running: set[Future[Aside]] = {pool.submit(aside.run) for aside in asides}
        while running:
            ended, running = wait(running, SIGN_OF_LIFE, FIRST_COMPLETED)
            for each in ended:
                aside = each.result()
                print_headline(aside.stage)
                print(aside.text, end="")
                print_end(aside.stage, aside.cases, aside.seconds)
                cases += aside.cases
            if not ended:
                print_signs_of_life(asides)
    return cases


class Aside:
    """A stage that runs away from the terminal."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.cases: list[Case] = []
        self.text = ""
        self.started = self.seconds = 0.0
        self._output: IO[bytes] | None = None

    def run(self) -> Aside:
        """Run it to its end, then ``cases``, ``text`` (its output) and ``seconds`` are there."""
        self.started = time.monotonic()
        with tempfile.TemporaryFile() as self._output:
            self.cases = run_stage(self.stage, self._output)
            self._output.seek(0)
            self.text = self._output.read().decode(errors="replace")
        self._output, self.seconds = None, time.monotonic() - self.started
        return self

    def sign_of_life(self) -> str:
        """How long it has run and its last line of output; empty before its start and after its end."""
        output = self._output
        if output is None:
            return ""
        try:
            size = os.fstat(output.fileno()).st_size
            # Not read(): the stage writes where the common position is.
            lines = os.pread(output.fileno(), TAIL, max(0, size - TAIL)).decode(errors="replace").splitlines()
        except ValueError:  # it has been closed just now
            return ""
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output yet")
        return f"... {self.stage.name} runs for {time.monotonic() - self.started:.0f} s: {last[-100:]}"


def print_signs_of_life(asides: list[Aside]) -> None:
    """Print a line for each stage that runs."""
    for aside in asides:
        line = aside.sign_of_life()
        if line:
            print(line, flush=True)


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
    for number in ENDING:
        signal.signal(number, end)
    RESULTS.mkdir(parents=True, exist_ok=True)
    cases = run_suite(SUITES[suite])
    print_summary(cases)
    if _signals:
        return 128 + _signals[0]
    return any(case.outcome == FAILED for case in cases)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
