# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log that fake commands share, and the order to fail at one of their calls.

The state directory has ``calls.jsonl`` (one JSON list a line: the command and its arguments) and, if a call shall
fail, ``fail.json``: ``{"call": the first words of the call, "left": how many such calls go well before}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def take_note(state: Path, argv: list[str]) -> None:
    """Log a call; SystemExit if this is the call that shall fail."""
    with (state / "calls.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(argv) + "\n")
    order = state / "fail.json"
    if not order.exists():
        return
    fail = json.loads(order.read_text())
    words = fail["call"].split()
    if argv[: len(words)] != words:
        return
    if fail["left"]:
        order.write_text(json.dumps({**fail, "left": fail["left"] - 1}))
        return
    order.unlink()
    sys.exit("%s: the test made this call fail" % " ".join(argv))


def calls(state: Path) -> list[list[str]]:
    """All calls so far."""
    log = state / "calls.jsonl"
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def fail_at(state: Path, call: str, nth: int) -> None:
    """Let the nth call from now on that begins with these words fail, and no other."""
    (state / "fail.json").write_text(json.dumps({"call": call, "left": nth - 1}))
