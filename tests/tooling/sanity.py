# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every test of ansible-test sanity that runs on this machine, with every supported Python found here.

ansible-test wants the collection below a directory ansible_collections, so it looks at the copy in SANITY_TREE. It
keeps virtual environments in the home directory and fills them with a pip that it fetches from a host of its own; here
it gets a home directory in build/, and in its cache the same version of pip from the package index, so that one source
of packages is enough.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.tooling.collection import OUTPUT, copy_sources, locked
from tests.tooling.paths import BUILD, RESULTS, SANITY_TREE, VENV_BIN
from tests.tooling.pythons import search_path
from tests.tooling.results import Case, read_junit, write_junit

HOME = BUILD / "sanity" / "home"
PIP_CACHE = HOME / ".ansible" / "test" / "cache"

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
from types import SimpleNamespace
from ansible_test._internal.python_requirements import get_venv_packages
print(get_venv_packages(SimpleNamespace(version="3.11"))["pip"])
"""


def prepare_home() -> None:
    """Make the home directory: pip's configuration and cache are the user's own."""
    for shared in (".config/pip", ".cache/pip"):
        theirs, ours = Path.home() / shared, HOME / shared
        ours.parent.mkdir(parents=True, exist_ok=True)
        if theirs.exists() and not ours.is_symlink():
            ours.symlink_to(theirs)


def seed_pip() -> None:
    """Put the pip that ansible-test asks for where it would cache its own download."""
    python = VENV_BIN / "python"
    version = subprocess.run(
        [python, "-c", PRINT_PIP_VERSION], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    script = PIP_CACHE / f"get_pip_{version.replace('.', '_')}.py"
    if script.exists():
        return
    PIP_CACHE.mkdir(parents=True, exist_ok=True)
    download = [str(python), "-m", "pip", "download", "-qq", "--no-deps", f"--dest={PIP_CACHE}", f"pip=={version}"]
    if subprocess.run(download, check=False).returncode == 0:
        script.write_text(GET_PIP.format(version=version))


def prepare_tree() -> None:
    """Copy the sources, and make the copy a git repository since the one around it ignores build/."""
    with locked():
        copy_sources(SANITY_TREE)
    subprocess.run(["git", "init", "--quiet", "--template=", SANITY_TREE], check=True)
    shutil.rmtree(SANITY_TREE / OUTPUT, ignore_errors=True)


def run_ansible_test() -> int:
    """Run all sanity tests on the copy and return the exit status."""
    environment = {**os.environ, "HOME": str(HOME), "PATH": os.pathsep.join([str(VENV_BIN), search_path()])}
    command = [str(VENV_BIN / "ansible-test"), "sanity", "--local", "--junit"]
    return subprocess.run(command, cwd=SANITY_TREE, env=environment, check=False).returncode


def collect() -> list[Case]:
    """Return what ansible-test wrote about its tests, without those that found no file of their kind."""
    reports = sorted((SANITY_TREE / OUTPUT / "junit").glob("*.xml"))
    cases = [case for report in reports for case in read_junit(report)]
    return [replace(case, name=case.name.removeprefix("sanity::")) for case in cases if case.reason != NOTHING_TO_TEST]


def main() -> int:
    """Run, report, return the exit status."""
    prepare_home()
    seed_pip()
    prepare_tree()
    status = run_ansible_test()
    cases = collect()
    write_junit(RESULTS / "sanity.xml", "sanity", cases)
    # When it finds nothing to look at, ansible-test says so and succeeds.
    return status or not cases


if __name__ == "__main__":
    sys.exit(main())
