# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role leaves on a host with apt, and its other ways with packages, one after the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from tests.support.ansible import PlaybookRun
from tests.support.roles import apply_role, changed_tasks, ephemeral_dir

SUMS = json.loads((ephemeral_dir() / "repository" / "sha256.json").read_text())
pytestmark = pytest.mark.timeout(1500)  # software emulation on a busy machine
PACKAGE = "standin-blocksync-fast"
NEWER = f"{PACKAGE}_1.0.8-1_all.deb"
LEFTOVERS = (
    "/usr/bin/blocksync-fast",
    "/var/cache/blocksync-fast",
    "/etc/apt/sources.list.d/blocksync-fast.sources",
    "/etc/apt/keyrings/blocksync-fast.asc",
)


def apply(check: bool = False, **variables: Any) -> PlaybookRun:
    """Run the role on the machine."""
    return apply_role(
        "blocksync_fast", "blocksync_fast_info", check=check, **{"blocksync_fast_package": PACKAGE, **variables}
    )


def test_pinned_version_came_from_the_repository(host: Host) -> None:
    assert host.package(PACKAGE).version == "1.0.7-1"
    assert "version 1.07," in host.check_output("blocksync-fast -V")
    assert host.file("/etc/apt/sources.list.d/blocksync-fast.sources").contains("Signed-By: /etc/apt/keyrings/")


def test_package_file_with_a_wrong_checksum_changes_nothing(host: Host) -> None:
    run = apply(blocksync_fast_source=f"http://127.0.0.1:8000/{NEWER}", blocksync_fast_sha256=64 * "0")
    assert run.returncode != 0
    assert host.package(PACKAGE).version == "1.0.7-1"
    assert not host.file("/var/cache/blocksync-fast/blocksync-fast.deb").exists


def test_package_file_from_an_url(host: Host) -> None:
    run = apply(blocksync_fast_source=f"http://127.0.0.1:8000/{NEWER}", blocksync_fast_sha256=SUMS[NEWER])
    assert changed_tasks(run)
    assert run.result("Tell")["msg"] == {
        "installed": True,
        "path": "/usr/bin/blocksync-fast",
        "version": "1.08",
        "misses_changed_blocks": False,
    }
    assert host.package(PACKAGE).version == "1.0.8-1"


def test_removal_in_check_mode(host: Host) -> None:
    assert changed_tasks(apply(check=True, blocksync_fast_state="absent"))
    assert all(host.file(path).exists for path in LEFTOVERS)


def test_removal_leaves_nothing_and_a_second_one_changes_nothing(host: Host) -> None:
    assert changed_tasks(apply(blocksync_fast_state="absent"))
    assert not host.package(PACKAGE).is_installed
    assert [path for path in LEFTOVERS if host.file(path).exists] == []
    assert changed_tasks(apply(blocksync_fast_state="absent")) == []


def test_package_that_no_repository_has() -> None:
    missing = {"blocksync_fast_package": "standin-blocksync-fast-of-no-repository"}
    run = apply(**missing)
    assert run.returncode != 0
    message = run.result("Stop if the program is required")["msg"]
    assert "native engine needs none of it" in message
    assert "blocksync_fast_required=false" in message


def test_package_that_no_repository_has_and_nobody_requires() -> None:
    missing = {"blocksync_fast_package": "standin-blocksync-fast-of-no-repository"}
    run = apply(**missing, blocksync_fast_required=False)
    assert changed_tasks(run) == []
    assert run.result("Tell")["msg"]["installed"] is False
