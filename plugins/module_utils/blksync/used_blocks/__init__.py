# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the blocks of a partition that its file system uses, so that only these are copied.

Only blocks that the file system itself reports as free are free. All other blocks count as used.
"""
