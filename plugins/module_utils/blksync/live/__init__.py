# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Copying a source that is in use: what is written meanwhile is recorded, and copied again in short freezes.

``conditions`` says whether that is possible, ``instances`` and ``recorder`` let the kernel tell every write,
``events`` understands what it tells, ``dirty_map`` keeps it, ``rounds`` decides when to end.
"""
