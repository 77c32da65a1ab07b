# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ansible callback that appends every task's result to the file RESULTS_FILE, one JSON object a line."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results_file
type: notification
short_description: Write results as JSON lines
description: For the tests of blksync.backup.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Writes ``{"task": name, "status": "ok", "result": {...}}`` as soon as a task ends on a host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results_file"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take note of a task that is ok or changed."""
        self._write("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Take note of a task that failed."""
        self._write("failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Take note of a task that was skipped."""
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Take note of a host out of reach."""
        self._write("unreachable", result)

    def _write(self, status: str, result: Any) -> None:
        name = result.task_name.rpartition(" : ")[2]  # since ansible-core 2.21 the role is before it
        line = {"task": name, "status": status, "result": result._result}
        with open(os.environ["RESULTS_FILE"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
