# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: In check mode, reports what it would change and changes nothing.
  diff_mode:
    description: In diff mode, shows what has changed (or would change).
  idempotent:
    description: A second run with the same options changes nothing and reports unchanged.
"""

    # For each module that meta/runtime.yml lists in the action group.
    ACTIONGROUP_ALL = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/blksync.backup.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - blksync.backup.all
"""
