# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options in messages of the core, as a person who types flags writes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blksync.cli.wording import as_flags
from blksync.options import DeltaRequest, ImageRequest, SyncRequest
from blksync.options.kinds import options_of
from tests.tooling.paths import ROOT

SYNC = options_of(SyncRequest)
CORE = ROOT / "plugins" / "module_utils" / "blksync"
NAMES = {name for table in (SyncRequest, ImageRequest, DeltaRequest) for name in options_of(table)}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Set the option power_off to false for it.", "Leave out --power-off for it."),
        ("Set the option allow_damaged_source to true to copy.", "Add --allow-damaged-source to copy."),
        ("Set the option quiesce_fallback to true to wait.", "Leave out --no-quiesce-fallback to wait."),
        ("Or set the option quiesce to auto.", "Or use --quiesce auto."),
        ("Set the option partitions to 1,2,3, or to all.", "Use --partitions 1,2,3, or to all."),
        ("Take it out of the option protected.", "Take it out of --protected."),
        ("Set the option keep to 3.", "Set the option keep to 3."),
    ],
)
def test_an_option_becomes_its_flag(text: str, written: str) -> None:
    assert as_flags(text, SYNC) == written


def test_beside_a_job_only_its_own_flag_is_named() -> None:
    text = "Set the option discard_changes to true, or set the option quiesce to auto."
    written = "Add --discard-changes, or set the option quiesce to auto."
    assert as_flags(text, {"discard_changes": SYNC["discard_changes"]}) == written


def core_texts() -> list[tuple[Path, str]]:
    # Strings that are split over lines are one text.
    return [
        (path, re.sub(r'"\s*\n\s*"', "", path.read_text())) for path in CORE.rglob("*.py") if "cli" not in path.parts
    ]


def test_the_core_names_options_only_so_that_they_become_flags() -> None:
    """A name with an underscore is no other word. Options of images never reach the command."""
    unmistakable = [name for name in SYNC if "_" in name]
    for path, text in core_texts():
        for name in re.findall(r"[Tt]he option (\w+)", text):
            assert name in NAMES or path.parent.name in ("options", "install"), (path, name)
        for line in re.findall(r'"[A-Z][^"]* (?:%s)\b[^"]*"' % "|".join(unmistakable), text):
            assert "the option " in line, (path, line)
