# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How deep the tests go, and what a machine must have for them.

Depth "sample" (make test) leaves out tests marked full or long. Depth "full" (make test-full) leaves out tests marked
long. Depth "long" (make test-depth) runs everything, and no test has a time limit. With --deep-only just what differs
from the sample is run: tests so marked, property tests, which try more examples in depth, and tests that ask for the
depth by its fixture.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import own_mounts, tracefs
from tests.support.blocksync_program import PROGRAM
from tests.support.session import Session

SAMPLE, FULL, LONG = "sample", "full", "long"
LEFT_OUT = {SAMPLE: ("full", "long"), FULL: ("long",), LONG: ()}
"""The marks of tests that a depth leaves out."""

# Property tests that state no max_examples of their own follow the depth. The sample is the same on every run, and no
# test is judged by the time that it takes.
AT_ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(SAMPLE, AT_ANY_SPEED, max_examples=100, derandomize=True)
settings.register_profile(FULL, AT_ANY_SPEED, max_examples=1000)
settings.register_profile(LONG, AT_ANY_SPEED, max_examples=20_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --depth and --deep-only."""
    group = parser.getgroup("depth")
    depths = tuple(LEFT_OUT)
    group.addoption("--depth", choices=depths, default=SAMPLE, help="how much to test (default: %(default)s)")
    group.addoption("--deep-only", action="store_true", help="with a deeper one: only what differs from the sample")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples of property tests; let the session leave nothing behind."""
    settings.load_profile(config.getoption("--depth"))
    config.pluginmanager.register(Session(config), "blksync-session")


@pytest.fixture(scope="session")
def depth(request: pytest.FixtureRequest) -> str:
    """ "sample", "full" or "long": for tests whose number of cases depends on it."""
    return str(request.config.getoption("--depth"))


@pytest.fixture(scope="session", autouse=True)
def _own_mounts() -> None:
    """Keep the tests of several processes, a worker's of pytest-xdist each, out of each other's way."""
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # no test can mount anything here
            own_mounts.take()


@pytest.fixture(autouse=True)
def _no_records(_own_mounts: None) -> Iterator[None]:
    """Let no test know what another one did to a disk of the same identifier."""
    yield
    own_mounts.forget()


@pytest.fixture(autouse=True)
def _tracefs(request: pytest.FixtureRequest, _own_mounts: None) -> Iterator[None]:
    """Let a test that needs it trace, in mounts of its own; no other test finds what this one mounted."""
    if not any("tracefs" in marker.args for marker in request.node.iter_markers("needs")):
        yield
        return
    mounted = tracefs.is_mounted()
    reason = tracefs.mount()
    if reason:
        pytest.skip(reason)
    yield
    if not mounted:
        tracefs.unmount()


@pytest.hookimpl(trylast=True)  # after hypothesis has marked its tests
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what does not belong to the depth."""
    depth = config.getoption("--depth")
    wanted = [item for item in items if not _is_marked(item, LEFT_OUT[depth])]
    if depth != SAMPLE and config.getoption("--deep-only"):
        wanted = [item for item in wanted if _goes_deeper(item)]
    if depth == LONG:
        for item in wanted:
            item.add_marker(pytest.mark.timeout(0), append=False)
    kept = set(wanted)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = wanted


def _goes_deeper(item: pytest.Item) -> bool:
    return _is_marked(item, ("full", "long", "hypothesis")) or "depth" in getattr(item, "fixturenames", ())


def _is_marked(item: pytest.Item, names: tuple[str, ...]) -> bool:
    return any(item.get_closest_marker(name) for name in names)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs this machine does not meet, and say which."""
    for marker in item.iter_markers("needs"):
        for what in marker.args:
            reason = _missing(what)
            if reason:
                pytest.skip(reason)


def _missing(what: str) -> str:
    if what == "root":
        return "" if os.geteuid() == 0 else "needs root"
    if what == "loop-devices":
        return "" if _has_loop_devices() else "needs loop devices (losetup -f finds none)"
    if what == "tracefs":
        return tracefs.missing()
    if what == "blocksync-fast":
        return "" if PROGRAM else "needs the program blocksync-fast"
    return "" if shutil.which(what) else f"needs the command {what}"


def _has_loop_devices() -> bool:
    losetup = shutil.which("losetup")
    return bool(losetup) and subprocess.run([str(losetup), "-f"], capture_output=True, check=False).returncode == 0
