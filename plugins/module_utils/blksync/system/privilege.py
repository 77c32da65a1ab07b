# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What only root can do, asked at each door before anything else."""

from __future__ import annotations

import os

from ..errors import NeedsRootError


def is_root() -> bool:
    """Whether this process may open disks, freeze and mount."""
    return os.geteuid() == 0


def require_root(what: str, hint: str) -> None:
    """Raise NeedsRootError unless this process is root's; ``what`` needs it."""
    if not is_root():
        raise NeedsRootError("%s needs root." % what, hint)
