# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions for those who are used to nox; each runs the stages that the Makefile runs, in the .venv that make made.

Nothing here needs nox but this file: make does the same without it.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "unit"]


def run_stages(session: nox.Session, suite: str) -> None:
    """Run a suite of tests/tooling/stages.py."""
    session.run("make", "setup", external=True, silent=True)
    session.run(".venv/bin/python", "-m", "tests.tooling.run_stages", suite, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """All checks of code, documentation and metadata."""
    run_stages(session, "lint")


@nox.session
def unit(session: nox.Session) -> None:
    """The unit tests; no root needed."""
    run_stages(session, "unit")


@nox.session
def test(session: nox.Session) -> None:
    """Lint, unit, integration and fault tests, as make test; needs root and loop devices."""
    run_stages(session, "test")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as HTML in build/docs, with every link checked."""
    run_stages(session, "docs")
