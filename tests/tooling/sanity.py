# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every test of ansible-test sanity that runs on this machine, with every supported Python found here.

ansible-test wants the collection below a directory ansible_collections, so it looks at a copy in build/. It keeps
virtual environments in the home directory and fills them with a pip that it fetches from a host of its own; here it
gets a home directory in build/, and in its cache the same version of pip from the package index, so that one source of
packages is enough.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.tooling.collection import OUTPUT, copy_sources, locked
from tests.tooling.paths import BUILD, RESULTS, VENV_BIN
from tests.tooling.pythons import search_path
from tests.tooling.results import Case, read_junit, write_junit

NOTHING_TO_TEST = "No tests applicable."

# What ansible-test uses of get-pip.py: as a program it installs, under another __name__ it makes pip importable.
GET_PIP = """
import glob, os, sys
cache = os.path.dirname(os.path.abspath(os.environ["GET_PIP"]))
sys.path.insert(0, glob.glob(os.path.join(cache, "pip-{version}-*.whl"))[0])
if __name__ == "__main__":
    from pip._internal.cli.main import main
    options = [option for option in sys.argv[1:] if option not in ("--no-setuptools", "--no-wheel")]
    sys.exit(main(["install", "--upgrade", "--force-reinstall", *options]))
"""
PRINT_PIP_VERSION = """
import sys
from types import SimpleNamespace
from ansible_test._internal.python_requirements import get_venv_packages
print(get_venv_packages(SimpleNamespace(version="%d.%d" % sys.version_info[:2]))["pip"])
"""


def prepare_home(home: Path) -> None:
    """Make the home directory: pip's configuration and cache are the user's own."""
    for shared in (".config/pip", ".cache/pip"):
        theirs, ours = Path.home() / shared, home / shared
        ours.parent.mkdir(parents=True, exist_ok=True)
        if theirs.exists() and not ours.is_symlink():
            ours.symlink_to(theirs)


def seed_pip(home: Path, python: Path) -> None:
    """Put the pip that ansible-test asks for where it would cache its own download."""
    cache = home / ".ansible" / "test" / "cache"
    version = subprocess.run(
        [python, "-c", PRINT_PIP_VERSION], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    if script.exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    download = [str(python), "-m", "pip", "download", "-qq", "--no-deps", f"--dest={cache}", f"pip=={version}"]
    if subprocess.run(download, check=False).returncode == 0:
        script.write_text(GET_PIP.format(version=version))


def prepare_tree(tree: Path) -> None:
    """Copy the sources, and make the copy a git repository since the one around it ignores build/."""
    with locked():
        copy_sources(tree)
    subprocess.run(["git", "init", "--quiet", "--template=", tree], check=True)
    shutil.rmtree(tree / OUTPUT, ignore_errors=True)


def collect(tree: Path) -> list[Case]:
    """Return what ansible-test wrote about its tests, without those that found no file of their kind."""
    reports = sorted((tree / OUTPUT / "junit").glob("*.xml"))
    cases = [case for report in reports for case in read_junit(report)]
    return [replace(case, name=case.name.removeprefix("sanity::")) for case in cases if case.reason != NOTHING_TO_TEST]


def run(ansible_bin: Path, directory: Path, options: Sequence[str]) -> tuple[int, list[Case]]:
    """Run the sanity tests of one Ansible; return the exit status, which is 0 only if there are cases, and the cases.

    ``directory`` gets the home directory and the copy. ``options`` say on which Pythons, and which files.
    """
    home, tree = directory / "home", directory / "ansible_collections" / "blksync" / "backup"
    prepare_home(home)
    seed_pip(home, ansible_bin / "python")
    prepare_tree(tree)
    environment = {**os.environ, "HOME": str(home), "PATH": os.pathsep.join([str(ansible_bin), search_path()])}
    command = [str(ansible_bin / "ansible-test"), "sanity", "--junit", *options]
    status = subprocess.run(command, cwd=tree, env=environment, check=False).returncode
    cases = collect(tree)
    # When it finds nothing to look at, ansible-test says so and succeeds.
    return status or not cases, cases


def main() -> int:
    """Run, report, return the exit status."""
    status, cases = run(VENV_BIN, BUILD / "sanity", ["--local"])
    write_junit(RESULTS / "sanity.xml", "sanity", cases)
    return status


if __name__ == "__main__":
    sys.exit(main())
