# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation as a site into build/docs; a warning is an error, and so is a link that leads nowhere.

    python -m tests.tooling.docs

antsibull-docs writes the pages of modules and roles from the installed collection. The guides are the Markdown files,
at their places among the sources, so that their links lead where they lead in the repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.tooling.collection import copy_sources
from tests.tooling.paths import BUILD, VENV_BIN

SITE = Path(__file__).with_name("site")
DOCS = BUILD / "docs"
SOURCES = BUILD / "docs-sources"


def lay_out_sources() -> None:
    """Make SOURCES: the sources of the collection, the site's own pages, and those of modules and roles."""
    copy_sources(SOURCES)
    for page in SITE.glob("*.md"):
        shutil.copy(page, SOURCES)
    reference = SOURCES / "reference"
    reference.mkdir(mode=0o700)  # antsibull-docs writes into no directory that others may write to
    options = ["--use-current", "--fail-on-error", "--squash-hierarchy", f"--dest-dir={reference}"]
    subprocess.run([VENV_BIN / "antsibull-docs", "collection", *options, "blksync.backup"], check=True)


def main() -> int:
    """Build, and return the exit status of Sphinx."""
    shutil.rmtree(DOCS, ignore_errors=True)
    lay_out_sources()
    # All pages anew each time, since those that did not change would warn of nothing.
    options = ["-q", "-E", "-W", "--keep-going", "-j", "auto", f"-d{BUILD / 'docs-cache'}", f"-c{SITE}"]
    return subprocess.run([VENV_BIN / "sphinx-build", *options, SOURCES, DOCS], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
