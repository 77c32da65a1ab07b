# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real sync of disks in use, in a process group of its own, that reports and can hold at every step of quiescing.

    python -m tests.support.quiesce_driver '{"source": ..., "unfreezable": ["ext2"], "hold_in": "quiesced:2"}'

Beside the steps of sync_driver it says "guardian" (with its process number), "quiescing:N", "quiesced:N",
"restoring:N", "flushing" (the target), "restored:N". ``hold_in`` is a step of these, ``patience`` how long a silent
or dying guardian is waited for, ``indirect`` the device that refuses direct I/O.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import Any, Self, Sequence

from blksync.quiesce import client, link
from blksync.quiesce.client import Quiescer
from blksync.quiesce.plan import QuiescePlan, steps_for
from blksync.quiesce.runner import Failure
from blksync.quiesce.step import StepRecord
from blksync.sync import disk_plan, session
from blksync.system.device import Device

from . import sync_driver
from .no_direct_io import refuse_to_open
from .sync_driver import ROOT, Driven


class AnnouncingQuiescer(Quiescer):
    """The real one, with its steps announced."""

    hold_in = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.numbers: list[str] = []  # of the partitions that are quiesced

    def prepare(self, plans: Sequence[QuiescePlan]) -> None:
        super().prepare(plans)
        if self._link:
            say("guardian", self.hold_in, pid=self._link._process["pid"])

    def carry_out(self, plan: QuiescePlan) -> None:
        number = plan.device[-1]
        say("quiescing:" + number, self.hold_in)
        super().carry_out(plan)
        self.numbers.append(number)
        done = [record for record in self.records if record.step in plan.steps and record.step.mounts]
        report = [asdict(record.report(0)) for record in done]
        say("quiesced:" + number, self.hold_in, report=report)

    def restore(self) -> tuple[list[StepRecord], list[Failure], str]:
        numbers, self.numbers = self.numbers, []
        for number in numbers:
            say("restoring:" + number, self.hold_in)
        outcome = super().restore()
        for number in numbers:
            say("restored:" + number, self.hold_in)
        return outcome


def say(step: str, hold_in: str, **facts: Any) -> None:
    """Print a step, and wait for a line of input where the test wants it."""
    print(json.dumps({"step": step, **facts}), flush=True)
    if step == hold_in:
        print(json.dumps({"step": "holding"}), flush=True)
        sys.stdin.readline()


def main() -> int:
    """Run the sync as sync_driver does."""
    options = json.loads(sys.argv[1])
    vars(disk_plan)["steps_for"] = functools.partial(steps_for, unfreezable=options.pop("unfreezable", ()))
    vars(session)["Quiescer"] = AnnouncingQuiescer
    flush = Device.flush

    def announced(device: Device) -> None:
        say("flushing", AnnouncingQuiescer.hold_in)
        flush(device)

    setattr(Device, "flush", announced)  # noqa: B010  # as a method cannot be assigned to
    vars(os)["open"] = refuse_to_open((options.pop("indirect", ""),))
    if "patience" in options:
        link.ANSWER_PATIENCE = link.DEATH_PATIENCE = options.pop("patience")
        vars(client)["ANSWER_PATIENCE"] = link.ANSWER_PATIENCE
    AnnouncingQuiescer.hold_in = options.pop("hold_in", "")
    sys.argv[1] = json.dumps(options)
    return sync_driver.main()


class DrivenQuiesce(Driven):
    """The test's side, as sync_driver.Driven. ``stdin`` and ``stdout`` are pipes."""

    module = "tests.support.quiesce_driver"

    def __init__(self, **options: Any) -> None:
        argv = [sys.executable, "-m", self.module, json.dumps(options)]
        self.process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "plugins" / "module_utils")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def kill(self, whole_group: bool = False) -> None:
        """SIGKILL, to the sync alone or to its process group."""
        if whole_group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()


if __name__ == "__main__":
    sys.exit(main())
