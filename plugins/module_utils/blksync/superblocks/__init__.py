# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Reads the superblocks on a partition: recorded errors, parts on other devices, the smallest sector that they need.

Pure parsers (``ext``, ``xfs``, ``btrfs``, ``fat``), ``registry`` to choose one, ``observe`` to ask the system,
``refusals`` to decide, and ``identity`` to compare what a finished copy is recognised as.
"""
