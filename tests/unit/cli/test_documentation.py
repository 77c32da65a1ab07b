# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/command.md says of subcommands, flags and exit codes what the command itself says."""

from __future__ import annotations

import argparse
import re

from blksync.cli.arguments import EXIT_CODES, make_parser
from blksync.options import SyncRequest
from blksync.options.kinds import options_of
from tests.tooling.paths import ROOT

PAGE = (ROOT / "docs" / "command.md").read_text()
COMMANDS = next(a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices


def flags(command: str) -> set[str]:
    """Those that are no options of the table, which has a test of its own (test_option_table)."""
    actions = [action for action in COMMANDS[command]._actions if action.dest not in options_of(SyncRequest)]
    return {name for action in actions for name in action.option_strings} - {"-h", "--help"}


def test_every_subcommand_has_its_flags_on_the_page() -> None:
    rows = {command: re.findall(rf"^\| .?{command}\b.*$", PAGE, re.M) for command in COMMANDS}
    sentence = next(line for line in PAGE.splitlines() if "take `--json`" in line)
    with_json = set(re.findall(r"`([a-z-]+)`", sentence.partition("take")[0]))
    assert with_json == {command for command in COMMANDS if "--json" in flags(command)}
    for command, found in rows.items():
        missing = {flag for flag in flags(command) - {"--json"} if flag not in "".join(found)}
        assert found
        assert not missing, command


def test_exit_codes_mean_the_same_on_the_page_and_in_the_help() -> None:
    helped = dict(re.findall(r"^  (\d)  (.*)$", EXIT_CODES, re.M))
    page = {code: text.replace("`", "") for code, text in re.findall(r"^\| (\d) \| (.*) \|$", PAGE, re.M)}
    assert {code: re.sub(r" \(.*\)", "", text) for code, text in page.items()} == {
        code: re.sub(r" \(.*\)", "", text) for code, text in helped.items()
    }
