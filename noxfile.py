# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions for those who are used to nox; antsibull-nox.toml says which. Nothing here needs nox but these two files."""

# /// script
# dependencies = ["nox>=2025.2.9", "antsibull-nox>=1.10", "ansible-core>=2.18"]
# ///

from __future__ import annotations

import antsibull_nox
import nox

antsibull_nox.load_antsibull_nox_toml()


@nox.session(python=False, default=False)
def test(session: nox.Session) -> None:
    """Lint, unit, integration and fault tests, as make test; needs root and loop devices."""
    session.run("make", "test", external=True)


if __name__ == "__main__":
    nox.main()
