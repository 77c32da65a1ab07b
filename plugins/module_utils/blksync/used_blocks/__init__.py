# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which blocks of a partition its file system uses, so that only these need to be copied.

Nothing is taken for free unless the file system itself says so: all that is unknown counts as used.
"""
