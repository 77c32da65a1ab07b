# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What is known of backup disks from one run to the next: a record of each disk, and the history of all runs.

Nothing here may be called while a file system is frozen: the files may lie on it. So a run writes before it quiesces
anything and after it has put everything back, never in between.
"""
