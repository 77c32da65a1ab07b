# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure, and print the page as Markdown. Root is needed, and memory for two devices."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from tests.support.disks import MIB, missing_for_loop_devices
from tests.support.pairs import LoopPair

from . import speed_limit
from .contenders import COMPARING, DD_COPY, READ, Contender
from .live import measure_live
from .measure import Measurement, measure
from .playbook import Overhead, measure_overhead
from .report import Key, Section, document
from .scenarios import SCENARIOS
from .speed_limit import SpeedLimit

LIMITS = (0, 400 * 10**6, 100 * 10**6)  # bytes per second
SLOW = 100 * 10**6  # at this speed the devices are half as large, so that it does not take for ever


def main() -> int:
    """Parse the command line, measure, and write the page."""
    options = _parse()
    signal.signal(signal.SIGTERM, _interrupt)
    missing = missing_for_loop_devices() or _missing_memory(options.size * MIB)
    if missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    try:
        sections = [] if options.only_live else [_measure_section(limit, options) for limit in LIMITS]
        live = None if options.no_live else measure_live(options.live_size * MIB, options.repeat, options.soak)
        overheads = [] if options.no_playbook or options.only_live else _measure_playbooks(options.repeat)
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    page = document(sections, live, overheads, options.repeat, load)
    print(page)
    if options.output:
        options.output.write_text(page, encoding="utf-8")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of each device (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round on small devices")
    parser.add_argument("--live-size", type=int, default=4096, metavar="MIB", help="of a mounted source (%(default)s)")
    parser.add_argument("--soak", type=float, default=10, metavar="SECONDS", help="of a busy writer (%(default)s)")
    parser.add_argument("--no-live", action="store_true", help="leave out mounted sources")
    parser.add_argument("--only-live", action="store_true", help="leave out everything else")
    parser.add_argument("--no-playbook", action="store_true", help="leave out the whole playbook")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page there, too (docs/benchmarks.md)")
    options = parser.parse_args()
    if options.quick:
        options.size, options.live_size, options.repeat, options.soak = 128, 512, 1, 2
    return options


def _measure_section(limit: int, options: argparse.Namespace) -> Section:
    size = options.size * MIB // (2 if limit == SLOW else 1)
    section = Section(limit, size)
    reason = speed_limit.why_not() if limit else ""
    if reason:
        section.note = f"Not available: {reason}."
        return section
    with LoopPair(size) as pair:
        rng = random.Random(size + limit)
        _fill(pair.source.file, size, rng)
        shutil.copyfile(pair.source.file, pair.target.file)
        for number in range(options.repeat):
            section.rounds.append(_round(pair, limit, rng, f"round {number + 1}"))
    return section


def _round(pair: LoopPair, limit: int, rng: random.Random, title: str) -> dict[Key, Measurement]:
    """Every contender once in every scenario, one after the other."""
    results: dict[Key, Measurement] = {}
    for contender in (READ, DD_COPY):
        results["", contender] = _limited(contender, pair, limit, title)
    for scenario in SCENARIOS:
        for contender in COMPARING:
            if contender.missing:
                continue
            scenario.prepare(pair, rng)
            result = _limited(contender, pair, limit, f"{title}, {scenario.name}")
            results[scenario.name, contender] = result
            if not result.equal:
                shutil.copyfile(pair.source.file, pair.target.file)
    return results


def _limited(contender: Contender, pair: LoopPair, limit: int, title: str) -> Measurement:
    print(f"bench: {limit // 10**6 or 'no'} limit, {title}: {contender.name} ... ", end="", file=sys.stderr, flush=True)
    if limit:
        with SpeedLimit([pair.source.devno, pair.target.devno], limit):
            result = measure(contender, pair, copies=contender is not READ)
    else:
        result = measure(contender, pair, copies=contender is not READ)
    print(f"{result.seconds:.2f} s", file=sys.stderr)
    return result


def _measure_playbooks(repeat: int) -> list[Overhead]:
    print("bench: a whole playbook", file=sys.stderr)
    return [measure_overhead() for _number in range(repeat)]


def _fill(path: Path, size: int, rng: random.Random) -> None:
    with open(path, "wb") as file:
        for _number in range(0, size, MIB):
            file.write(rng.randbytes(MIB))


def _missing_memory(size: int) -> str:
    free = shutil.disk_usage("/dev/shm").free
    return f"/dev/shm has {free // MIB} MiB free, two devices need {2 * size // MIB}" if free < 2 * size else ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
