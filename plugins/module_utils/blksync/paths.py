# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The directories of state, jobs and running syncs."""

from __future__ import annotations

RUN_DIR = "/run/blksync"


STATE_DIR = "/var/lib/blksync"


JOB_DIR = "/etc/blksync"
