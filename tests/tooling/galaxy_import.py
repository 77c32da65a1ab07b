# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection and let Galaxy's importer look at it, as it does when a collection is published."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.tooling.collection import build, locked
from tests.tooling.paths import BUILD

CONFIGURATION = Path(__file__).with_name("galaxy-importer.cfg")


def main() -> int:
    """Build, import, return the importer's exit status."""
    environment = {**os.environ, "GALAXY_IMPORTER_CONFIG": str(CONFIGURATION)}
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="import-") as scratch:
        with locked():
            tarball = build(Path(scratch))
        # The importer leaves its findings in the directory where it is started.
        command = [sys.executable, "-m", "galaxy_importer.main", tarball.name]
        return subprocess.run(command, cwd=scratch, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
