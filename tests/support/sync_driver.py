# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one real sync in a process of its own and report each step as a line of JSON, waiting at the step that is named.

    python -m tests.support.sync_driver '{"source": "11111111", ..., "hold_at": "advanced:1"}'

``hold_at`` names a step and a pair's number: the process then waits for a line on standard input. That is how a test
kills or disturbs a sync at a known point without guessing times. With ``state_dir`` the run is in the records there;
``wait_limit`` are seconds to wait for other runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))

from blksync.cli.results import report_lines  # noqa: E402
from blksync.errors import BlksyncError  # noqa: E402
from blksync.jobs.run import Result  # noqa: E402
from blksync.options import CopyRequest, ImageRequest, SyncRequest  # noqa: E402
from blksync.records.run import Origin  # noqa: E402
from blksync.sync import disk_sync, image_sync, session  # noqa: E402
from blksync.sync.bookkeeping import Bookkeeping  # noqa: E402
from blksync.sync.monitor import Progress  # noqa: E402
from blksync.sync.plan import Pair  # noqa: E402
from blksync.sync.result import SyncReport  # noqa: E402

from .parent import end_with_parent  # noqa: E402


class Printing(Progress):
    """Prints every step; waits once at the step that the test named."""

    def __init__(self, hold_at: str) -> None:
        self.hold_at = hold_at

    def pair_started(self, pair: Pair, engine: str) -> None:
        self.say("started:%d" % pair.number, engine=engine)

    def advanced(self, pair: Pair, compared: int, changed: int) -> None:
        self.say("advanced:%d" % pair.number, compared=compared, changed=changed)

    def verifying(self, pair: Pair, read: int) -> None:
        self.say("verifying:%d" % pair.number, read=read)

    def pair_finished(self, pair: Pair, blocks_changed: int, written: int) -> None:
        self.say("finished:%d" % pair.number, blocks_changed=blocks_changed, written=written)

    def say(self, step: str, **facts: Any) -> None:
        print(json.dumps({"step": step, **facts}), flush=True)
        if step == self.hold_at:
            self.hold_at = ""
            print(json.dumps({"step": "holding"}), flush=True)
            sys.stdin.readline()


def main() -> int:
    """Run the sync; the last line is its result or its error. Returns 0 or 1."""
    end_with_parent()
    options = json.loads(sys.argv[1])
    hold_at = options.pop("hold_at", "")
    vars(session)["WAIT_LIMIT"] = options.pop("wait_limit", session.WAIT_LIMIT)
    state_dir = options.pop("state_dir", "")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    of_images = options.pop("request", "") == ImageRequest.__name__
    books = Bookkeeping(Origin("command"), "sync", str(options["target"]), state_dir) if state_dir else None
    try:
        if of_images:
            result = image_sync.run(ImageRequest(**options), Printing(hold_at), books=books).as_dict()
        else:
            done = disk_sync.run(SyncRequest(**options), Printing(hold_at), books=books)
            result = dict(done.as_dict(), warnings=done.warnings)
    except BlksyncError as error:
        report = error.report.as_dict() if error.report else None
        known = error.report if isinstance(error.report, SyncReport) else None
        facts = {"report": report, "lines": report_lines(Result("", known, error), check=False)}
        print(json.dumps({"step": "failed", "kind": error.kind, "msg": str(error), **facts}), flush=True)
        return 1
    print(json.dumps({"step": "done", **result}), flush=True)
    return 0


class Driven:
    """The test's side: a running sync, its steps as they come, and its end."""

    def __init__(self, request: type[CopyRequest] = SyncRequest, /, **options: Any) -> None:
        assert set(options) <= {field.name for field in fields(request)} | {"hold_at", "state_dir", "wait_limit"}
        options["request"] = request.__name__
        argv = [sys.executable, "-m", "tests.support.sync_driver", json.dumps(options)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Driven:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for(self, step: str) -> dict[str, Any]:
        """Read steps until this one comes; fails the test if the sync ends before."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            event = json.loads(line)
            if event["step"] == step:
                return event
        raise AssertionError("the sync ended without %r, after %s" % (step, "".join(seen[-5:])))

    def go_on(self) -> None:
        """Let a holding sync continue."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """The result or error, the last line that the sync printed; empty for a sync that was killed."""
        assert self.process.stdout is not None
        if self.process.stdin:
            self.process.stdin.close()
            self.process.stdin = None
        # Not communicate(): it passes over what wait_for() has read ahead.
        lines = self.process.stdout.read().strip().splitlines()
        self.process.wait(60)
        return json.loads(lines[-1]) if lines else {}


if __name__ == "__main__":
    sys.exit(main())
