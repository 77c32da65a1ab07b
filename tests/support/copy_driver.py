# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy one device to another with blocksync-fast in a process of its own, telling its progress: for tests that kill it.

python -m tests.support.copy_driver SOURCE TARGET
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

from blksync.engines.base import CopyOptions
from blksync.engines.blocksync_fast.engine import BlocksyncFastEngine
from blksync.engines.monitor import Monitor
from blksync.ranges import whole
from blksync.system.device import claim_target, open_source

from .parent import end_with_parent


class Printing(Monitor):
    """Prints every number of bytes compared."""

    def advanced(self, compared: int, changed: int) -> None:
        """See Monitor."""
        print(compared, flush=True)


def main(source_path: str, target_path: str) -> None:
    """Copy once."""
    end_with_parent()
    engine = BlocksyncFastEngine.find()
    with open_source(source_path) as source, claim_target(target_path) as target:
        engine.copy(source, target, whole(source.size), Printing(), CopyOptions())


if __name__ == "__main__":
    main(*sys.argv[1:])
