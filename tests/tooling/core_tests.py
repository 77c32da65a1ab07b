# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try the collection with one ansible-core, in a virtual environment of its own below build/cores.

    python -m tests.tooling.core_tests 2.21 [deep]

Runs the sanity tests, ansible-doc, and a sample of the tests of modules and roles, with the oldest Python found here
that the core runs on; in depth with the newest one too. What cannot be installed is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from tests.tooling import sanity
from tests.tooling.cores import CONTROLLER_VERSIONS, CORES, Core, by_version, choose, is_new, sanity_options
from tests.tooling.paths import ANSIBLE_VARIABLE, BUILD, RESULTS, ROOT, VENV_BIN
from tests.tooling.pythons import find_pythons
from tests.tooling.results import FAILED, PASSED, SKIPPED, Case, read_junit, write_junit

ENVIRONMENTS = BUILD / "cores"
STAMP = ".installed"
INTEGRATION = "tests/integration"
SAMPLE = (
    f"{INTEGRATION}/test_command_module.py",
    f"{INTEGRATION}/test_disk_info.py",
    f"{INTEGRATION}/test_disk_sync.py::test_check_first_second_and_changed_run",
    f"{INTEGRATION}/test_disk_sync.py::test_all_reasons_are_reported_together",
    f"{INTEGRATION}/test_playbook_hosts.py",
)
"""Each module's and each role's way through Ansible; what they do without it has been tested already."""
EDGES = ("tests/roles", f"{INTEGRATION}/test_readme.py")
"""Every test of roles, and what the README says: with the oldest core and with the new ones."""
BETWEEN = (
    "tests/roles/test_backup_disk.py::test_everything_that_a_job_needs_is_in_force",
    "tests/roles/test_backup_disk.py::test_values_that_ansible_checks_but_leaves_as_they_are",
    "tests/roles/test_blocksync_fast.py::test_program_from_an_url_and_again_and_away",
)
"""Instead with the cores between, of which one is in .venv and runs everything in make test."""

OWN_COLLECTION = "/ansible/_internal/ansible_collections/ansible/_protomatter"
"""Part of ansible-core 2.19 and later; 2.20 and 2.21 warn about it when they show a role."""

PRINT_FACTS = """
import json
from ansible.module_utils import basic
from ansible.release import __version__
from ansible_test._util.target.common import constants
print(json.dumps([__version__, constants.CONTROLLER_PYTHON_VERSIONS, constants.REMOTE_ONLY_PYTHON_VERSIONS[0],
    "%d.%d" % basic._PY_MIN]))
"""


class NotInstalledError(Exception):
    """The core cannot be had here, with the reason."""


def install(core: Core, version: str, python: str) -> Path:
    """Return the virtual environment with this core, made unless it is there. Raises NotInstalledError."""
    directory = ENVIRONMENTS / f"{core.version}-python{version}"
    requirement = f"ansible-core=={core.version}.*"
    stamp, wanted = directory / STAMP, f"{requirement}\n{python}\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for command in ([python, "-m", "venv", str(directory)], [*pip, requirement]):
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if run.returncode:
            print(run.stdout, flush=True)
            errors = [line for line in run.stdout.splitlines() if line.startswith("ERROR: ")]
            reason = errors[-1].removeprefix("ERROR: ") if errors else f"exit status {run.returncode}"
            raise NotInstalledError(f"{' '.join(command[1:3])}: {reason}")
    stamp.write_text(wanted)
    return directory


def try_core(core: Core, version: str, python: str) -> list[Case]:
    """Try a core on one Python. The names of the cases are "2.21.5 on Python 3.12: KIND: NAME"."""
    try:
        directory = install(core, version, python)
    except NotInstalledError as error:
        return [Case(f"{core.version} on Python {version}: install: ansible-core", SKIPPED, str(error))]
    ansible_bin = directory / "bin"
    environment = {**os.environ, ANSIBLE_VARIABLE: str(ansible_bin)}
    release, fact = compare_facts(core, ansible_bin)
    cases = [
        fact,
        *check_sanity(core, version, directory),
        *check_documentation(directory, environment),
        *run_sample(sample(core), directory, environment),
    ]
    return [replace(case, name=f"{release} on Python {version}: {case.name}") for case in cases]


def compare_facts(core: Core, ansible_bin: Path) -> tuple[str, Case]:
    """Return the core's release ("2.21.5"), and whether it supports the Pythons that cores.py says."""
    run = subprocess.run([ansible_bin / "python", "-c", PRINT_FACTS], stdout=subprocess.PIPE, text=True, check=True)
    release, controllers, *oldest = json.loads(run.stdout)
    wanted, found = (core.controllers, {core.oldest_target}), (tuple(controllers), set(oldest))
    reason = "" if wanted == found else f"the core supports {found}, tests/tooling/cores.py says {wanted}"
    return release, Case("install: supported Pythons", FAILED if reason else PASSED, reason)


def check_sanity(core: Core, version: str, directory: Path) -> list[Case]:
    """Run the sanity tests."""
    status, cases = sanity.run(directory / "bin", directory, sanity_options(core, version, find_pythons()))
    named = [replace(case, name=f"sanity: {case.name}") for case in cases]
    return with_status(named, "sanity: ansible-test", status)


def check_documentation(directory: Path, environment: dict[str, str]) -> list[Case]:
    """Install the collection with this core, and let its ansible-doc show every module and role, without a warning."""
    install_collection = [sys.executable, "-m", "tests.tooling.collection", "install"]
    if call(install_collection, env=environment):
        return [Case("ansible-doc: collection", FAILED, "ansible-galaxy cannot install the collection")]
    modules = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[!_]*.py"))
    roles = sorted(path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
    return [ask_documentation(directory, kind, names) for kind, names in (("module", modules), ("role", roles))]


def ask_documentation(directory: Path, kind: str, names: list[str]) -> Case:
    """Compare what ansible-doc shows with what is there."""
    full_names = [f"blksync.backup.{name}" for name in names]
    settings = {"ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"), "ANSIBLE_HOME": str(directory / "home")}
    run = subprocess.run(
        [directory / "bin" / "ansible-doc", "--json", "--type", kind, *full_names],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = sorted(json.loads(run.stdout)) if run.returncode == 0 else []
    complaints = complaints_about_us(run.stderr)
    if shown == full_names and not complaints:
        return Case(f"ansible-doc: {kind}", PASSED)
    return Case(f"ansible-doc: {kind}", FAILED, complaints or f"shows {shown}")


def complaints_about_us(errors: str) -> str:
    """Return what ansible-doc printed, but not the line about a collection of its own that has no version."""
    return "\n".join(line for line in errors.splitlines() if line.strip() and OWN_COLLECTION not in line)


def sample(core: Core) -> tuple[str, ...]:
    """Return what pytest runs with a core."""
    return (*SAMPLE, *(EDGES if core == CORES[0] or is_new(core.version) else BETWEEN))


def run_sample(tests: Sequence[str], directory: Path, environment: dict[str, str]) -> list[Case]:
    """Run tests with this core's commands."""
    report = directory / "sample.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "--numprocesses=2", "--dist=loadfile", f"--junitxml={report}"]
    status = call([str(VENV_BIN / "python"), "-m", "pytest", *options, *tests], env=environment)
    cases = [replace(case, name=f"tests: {case.name}") for case in read_junit(report)] if report.exists() else []
    return with_status(cases, "tests: pytest", status)


def with_status(cases: list[Case], name: str, status: int) -> list[Case]:
    """Add a failed case for a bad exit status that no case accounts for."""
    if not status or any(case.outcome == FAILED for case in cases):
        return cases
    return [*cases, Case(name, FAILED, f"exit status {status}")]


def call(command: Sequence[str], env: dict[str, str]) -> int:
    """Run a command in the root and return its exit status; a signal that ends this process ends it first."""
    with subprocess.Popen(command, cwd=ROOT, env=env) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def end(number: int, _frame: FrameType | None) -> None:
    """End this process once what it started has cleaned up, which further signals do not disturb."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main(version: str, depth: str = "") -> int:
    """Try a core, report, return the exit status."""
    signal.signal(signal.SIGTERM, end)
    core = by_version(version)
    pythons = find_pythons(CONTROLLER_VERSIONS)
    chosen = choose(core, pythons, depth == "deep")
    cases = [case for python in chosen for case in try_core(core, python, pythons[python])]
    if not chosen:
        needed = f"needs Python {', '.join(core.controllers)}"
        cases = [Case(f"{version} on no Python: install: ansible-core", SKIPPED, needed)]
    write_junit(RESULTS / f"core-{version}.xml", f"core-{version}", cases)
    return any(case.outcome == FAILED for case in cases)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
