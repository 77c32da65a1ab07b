# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Tracks the writes to a source that is copied while it is in use, so that they can be copied again.

``eligibility`` decides whether a live copy is possible. ``trace`` makes the kernel report every write, ``trace_events``
parses the reports, ``dirty_tracker`` and ``dirty_bitmap`` keep them. ``convergence`` decides when to end.
"""
