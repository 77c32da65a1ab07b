# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From measurements to the Markdown of docs/benchmarks.md. Pure, but for the description of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .contenders import COMPARING, DEFAULTS, NATIVE, NOT_INSTALLED, PROGRAM, READ, SCRIPT, Contender
from .live import LiveSection
from .live_report import live_section
from .measure import Measurement
from .playbook import Overhead
from .scenarios import SCENARIOS

MIB = 1024 * 1024
Key = tuple[str, Contender]  # a scenario's name ("" where it makes no difference) and a contender


INTRODUCTION = """# Benchmarks

`make bench` measures the engines, the program blocksync-fast by hand and plain `dd` on the same pair of loop devices \
over files in memory, in turn. Each number is the median of %s.

- Date: %s
- Machine: %s
- Load average of the last minute when it began (an idle machine has 0): %.1f
- blocksync-fast: %s

An engine's time is that of a whole sync of the pair: comparing, writing, flushing, and reading back what was written \
(its share is given). It leaves out the start of Python, which the last table covers. Memory is the peak of the \
resident memory, of the interpreter and of a program that it runs. Bytes written are those that reached the target \
device, as the kernel counts them."""


@dataclass
class Section:
    """All rounds at one speed limit (bytes per second, 0: none). ``note`` says why there are none."""

    limit: int
    size: int
    rounds: list[dict[Key, Measurement]] = field(default_factory=list)
    note: str = ""

    def ratio(self, scenario: str, contender: Contender, scenario_of_other: str, other: Contender) -> float | None:
        """How many times as long as the other a contender takes: the median over the rounds."""
        ratios = [
            one[scenario, contender].seconds / one[scenario_of_other, other].seconds
            for one in self.rounds
            if (scenario, contender) in one and (scenario_of_other, other) in one
        ]
        return median(ratios) if ratios else None


def document(
    sections: Sequence[Section], live: LiveSection | None, overheads: Sequence[Overhead], repeat: int, load: float
) -> str:
    """The whole page; ``load`` is what else the machine did: the load average at the start."""
    parts = [_introduction(repeat, load), _targets(sections)]
    parts += [_section(section) for section in sections]
    parts.append(live_section(live))
    parts.append(_overhead(overheads))
    return "\n\n".join(parts) + "\n"


def _introduction(repeat: int, load: float) -> str:
    return INTRODUCTION % (
        _rounds(repeat),
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        _machine(),
        load,
        NOT_INSTALLED or _program_version(),
    )


def _targets(sections: Sequence[Section]) -> str:
    rows = ["## Targets of the native engine, nothing changed", "", "| target | measured |", "| --- | --- |"]
    for section in sections:
        if section.limit:
            ratio = section.ratio("nothing", NATIVE, "", READ)
            rows.append(
                "| at most 1.05 x the time of reading one device, at %s | %s |" % (_speed(section.limit), _times(ratio))
            )
        else:
            for other in (DEFAULTS, SCRIPT):
                ratio = section.ratio("nothing", other, "nothing", NATIVE)
                rows.append("| at least 2 x the speed of %s, no limit | %s |" % (other.name, _times(ratio)))
    peaks = [
        one.memory for section in sections for of in section.rounds for (_run, who), one in of.items() if who == NATIVE
    ]
    rows.append("| below 64 MiB of memory, in any run | %s |" % ("%.0f MiB" % (max(peaks) / MIB) if peaks else "-"))
    return "\n".join(rows)


def _section(section: Section) -> str:
    title = "## %s, %d MiB a device" % (_speed(section.limit), section.size // MIB)
    if section.note:
        return "%s\n\n%s" % (title, section.note)
    keys = list(dict.fromkeys(key for one in section.rounds for key in one))
    header = "| changed | what | seconds | of which verifying | x reading one device | memory, MiB | MiB written |"
    rows = [title, "", header, "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for scenario in ("", *(scenario.name for scenario in SCENARIOS)):
        for contender in (key[1] for key in keys if key[0] == scenario):
            rows.append(_row(section, scenario, contender))
        rows += [
            "| %s | %s | %s | | | | |" % (scenario or "-", contender.name, contender.missing)
            for contender in COMPARING
            if scenario and contender.missing
        ]
    return "\n".join(rows)


def _row(section: Section, scenario: str, contender: Contender) -> str:
    all_rounds = [one[scenario, contender] for one in section.rounds if (scenario, contender) in one]
    name = contender.name
    if any(one.equal is False for one in all_rounds):
        name += " (**target left different**)"
    return "| %s | %s | %.2f | %s | %s | %.0f | %s |" % (
        scenario or "-",
        name,
        median(one.seconds for one in all_rounds),
        "%.2f" % median(one.seconds_verifying for one in all_rounds) if contender.engine else "",
        _times(section.ratio(scenario, contender, "", READ)),
        max(one.memory for one in all_rounds) / MIB,
        "%.1f" % (median(one.written for one in all_rounds) / MIB),
    )


def _overhead(overheads: Sequence[Overhead]) -> str:
    rows = ["## A whole playbook", ""]
    if not overheads:
        return "\n".join([*rows, "Not measured."])
    ping, sync, engine = (median(getattr(one, name) for one in overheads) for name in ("ping", "sync", "engine"))
    rows += ["`ansible-playbook` on this machine, two small partitions (10 MiB together), nothing changed.", ""]
    rows += ["| what | seconds |", "| --- | ---: |"]
    rows.append("| a playbook with `ansible.builtin.ping` | %.2f |" % ping)
    rows.append("| a playbook with `blksync.backup.disk_sync` | %.2f |" % sync)
    rows.append("| of which the engine | %.2f |" % engine)
    rows.append("| of which everything else of `disk_sync` | %.2f |" % (sync - ping - engine))
    return "\n".join(rows)


def _rounds(repeat: int) -> str:
    return "one round" if repeat == 1 else "%d rounds; ratios are taken within a round" % repeat


def _speed(limit: int) -> str:
    return "%d MB/s a device" % (limit // 10**6) if limit else "No limit"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else "%.2f" % ratio


def _program_version() -> str:
    answer = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, check=True).stdout
    return answer.split(",")[0].split()[-1]


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "%s, %s cores, %.0f GiB of memory, Linux %s, Python %s" % (
        models[0] if models else platform.machine(),
        os.cpu_count(),
        memory,
        platform.release(),
        platform.python_version(),
    )
