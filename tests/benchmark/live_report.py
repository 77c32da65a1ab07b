# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured of mounted sources, as Markdown. Pure."""

from __future__ import annotations

from statistics import median

from .live import LIMIT, RATE, USED, WAYS, LiveSection

MIB = 1024 * 1024


def live_section(section: LiveSection | None) -> str:
    """The part of docs/benchmarks.md."""
    title = "## A mounted source that is written to"
    if section is None or section.note:
        return "%s\n\n%s" % (title, section.note if section else "Not measured.")
    text = (
        "ext4 of %d MiB, %d %% of it used, %d MB/s a device, while a program writes %d MB/s of 64 KiB pieces to it. "
        "Nothing else changes." % (section.size // MIB, USED * 100, LIMIT // 10**6, RATE // 10**6)
    )
    rows = ["| way | seconds | x frozen throughout | frozen, seconds | iterations | MiB read |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    rows += [_row(section, way) for way in WAYS]
    return "\n\n".join([title, text, "\n".join(rows), _targets(section), _slowdown(section)])


def _row(section: LiveSection, way: str) -> str:
    runs = [one[way] for one in section.rounds]
    fallbacks = sorted({run.fallback for run in runs if run.fallback})
    return "| %s | %.1f | %.2f | %.3f | %d | %d |" % (
        way + "".join(" (**not live: %s**)" % reason for reason in fallbacks),
        median(run.seconds for run in runs),
        _ratio(section, way),
        median(run.frozen for run in runs),
        median(run.iterations for run in runs),
        median(run.read for run in runs) / MIB,
    )


def _ratio(section: LiveSection, way: str, other: str = next(iter(WAYS))) -> float:
    return median(one[way].seconds / one[other].seconds for one in section.rounds)


def _targets(section: LiveSection) -> str:
    frozen, live, used, both = WAYS
    rows = ["| target | measured |", "| --- | --- |"]
    for way in (live, both):
        worst = max(one[way].frozen for one in section.rounds)
        rows.append("| %s: frozen for less than 0.5 s (the longest of all rounds) | %.3f s |" % (way, worst))
    for way, whole in ((used, frozen), (both, live)):
        rows.append("| %s: at most 0.35 x the time of all blocks | %.2f |" % (way, _ratio(section, way, whole)))
    return "\n".join(rows)


def _slowdown(section: LiveSection) -> str:
    slowdowns = section.slowdowns
    lost = sorted({one.doubt for one in slowdowns if one.doubt})
    return (
        "A program that writes 4 KiB at a time past the page cache, as quickly as it can, made %.0f writes a second "
        "alone and %.0f while its writes were recorded: %+.1f %% (median of %d rounds). "
        "The recording process grew by %.1f MiB at most. Lost: %s."
        % (
            median(one.plain for one in slowdowns),
            median(one.recorded for one in slowdowns),
            median(100 * one.recorded / one.plain - 100 for one in slowdowns),
            len(slowdowns),
            max(one.growth for one in slowdowns) / MIB,
            ", ".join(lost) or "nothing",
        )
    )
