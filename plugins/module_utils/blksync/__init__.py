# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The core of blksync.backup: everything that observes, decides, copies and protects.

Standard library only, no Ansible import: the Ansible modules and the ``blksync`` command run this same code.
"""

from __future__ import annotations

__version__ = "0.1.0"
