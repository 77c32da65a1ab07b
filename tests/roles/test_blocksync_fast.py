# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role blocksync_fast with prebuilt programs.

Packages are installed in a virtual machine: extensions/molecule/blocksync_fast.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import PlaybookRun
from tests.support.role_host import Host
from tests.support.roles import changed_tasks

pytestmark = pytest.mark.needs("root")

STANDIN = Path(__file__).parents[2] / "extensions/molecule/blocksync_fast/files/standin-blocksync-fast"


INSTALLED = Path("/usr/local/bin/blocksync-fast")
CACHE = Path("/var/cache/blocksync-fast")


def program(host: Host, version: str = "1.07", loses_last_run: bool = True) -> Path:
    """A program for the role to install."""
    text = (
        STANDIN.read_text()
        .replace("@SHEBANG@", "#!/usr/bin/env python3")
        .replace("@VERSION@", version)
        .replace("@LOSES_LAST_RUN@", str(loses_last_run))
    )
    return host.write(f"standin-{version}", text)


def apply(host: Host, check: bool = False, **variables: Any) -> PlaybookRun:
    package = {"blocksync_fast_package": "standin-blocksync-fast-of-no-repository"}
    return host.apply("blocksync_fast", check=check, tell="blocksync_fast_info", **{**package, **variables})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def info(run: PlaybookRun) -> dict[str, Any]:
    found: dict[str, Any] = run.result("Tell")["msg"]
    return found


def from_url(program: Path, **more: Any) -> dict[str, Any]:
    return {"blocksync_fast_source": f"file://{program}", "blocksync_fast_sha256": sha256(program), **more}


def test_program_from_an_url_and_again_and_away(host: Host) -> None:
    wanted = from_url(program(host))
    assert changed_tasks(apply(host, check=True, **wanted))
    assert not INSTALLED.exists()
    assert not CACHE.exists()
    first = apply(host, **wanted)
    assert changed_tasks(first)
    assert info(first) == {"installed": True, "path": str(INSTALLED), "version": "1.07", "loses_last_run": True}
    assert changed_tasks(apply(host, **wanted)) == []
    assert changed_tasks(apply(host, blocksync_fast_state="absent"))
    assert not INSTALLED.exists()
    assert not CACHE.exists()
    assert changed_tasks(apply(host, blocksync_fast_state="absent")) == []


@pytest.mark.full
def test_program_without_the_defect_from_the_controller(host: Host) -> None:
    run = apply(host, blocksync_fast_source=str(program(host, "1.08", loses_last_run=False)))
    assert changed_tasks(run)
    assert info(run)["loses_last_run"] is False


@pytest.mark.full
def test_a_newer_program_takes_the_place_of_the_old_one(host: Host) -> None:
    apply(host, **from_url(program(host, "1.07")))
    run = apply(host, **from_url(program(host, "1.08")), blocksync_fast_version="1.0.8")
    assert changed_tasks(run)
    assert info(run)["version"] == "1.08"


@pytest.mark.parametrize("kind", ["url", pytest.param("controller", marks=pytest.mark.full)])
def test_wrong_checksum_installs_nothing(host: Host, kind: str) -> None:
    source = f"file://{program(host)}" if kind == "url" else str(program(host))
    run = apply(host, blocksync_fast_source=source, blocksync_fast_sha256=64 * "0")
    assert run.returncode != 0
    assert not INSTALLED.exists()
    assert list(CACHE.iterdir()) == []


@pytest.mark.full
def test_wrong_version_installs_nothing(host: Host) -> None:
    run = apply(host, **from_url(program(host, "1.08")), blocksync_fast_version="1.0.7")
    assert run.returncode != 0
    assert not INSTALLED.exists()


@pytest.mark.full
def test_program_that_does_not_start_is_not_installed(host: Host) -> None:
    broken = host.playbooks / "broken"
    broken.write_bytes(b"\x7fELF of another machine")
    run = apply(host, **from_url(broken))
    assert run.returncode != 0
    assert not INSTALLED.exists()


@pytest.mark.full
def test_program_that_does_not_copy_is_found_out(host: Host) -> None:
    idle = host.write("idle", "#!/bin/sh\necho blocksync-fast version 1.07, does nothing\n")
    run = apply(host, blocksync_fast_source=str(idle))
    assert run.returncode != 0
    assert "did not copy a changed block" in run.output


@pytest.mark.full
def test_one_that_is_there_already_is_good_enough(host: Host) -> None:
    INSTALLED.write_text(program(host).read_text())
    INSTALLED.chmod(0o755)
    run = apply(host, blocksync_fast_version="1.0.7")
    assert changed_tasks(run) == []
    assert info(run)["version"] == "1.07"


@pytest.mark.full
@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"blocksync_fast_source": "https://example.invalid/x"}, "blocksync_fast_sha256 must say"),
        ({"blocksync_fast_source": "x", "blocksync_fast_sha256": "abc"}, "is not a SHA-256"),
        ({"blocksync_fast_method": "binary"}, "needs blocksync_fast_source"),
        ({"blocksync_fast_method": "file", "blocksync_fast_source": "x"}, "neither a .deb nor a .rpm"),
        ({"blocksync_fast_method": "binary", "blocksync_fast_source": "x.deb"}, "is a package"),
        ({"blocksync_fast_method": "source"}, "must be one of"),
        ({"blocksync_fast_apt_repository": {"uris": "x", "suites": "./"}}, "lacks key"),
        (
            {"blocksync_fast_apt_repository": {"uris": "x", "suites": "./", "key": "https://example.invalid/key"}},
            "key_sha256 must say",
        ),
    ],
)
def test_nonsense_is_refused_before_anything_is_touched(host: Host, variables: dict[str, Any], complaint: str) -> None:
    run = apply(host, **variables)
    assert run.returncode != 0
    assert complaint in " ".join(run.output.split())
    assert not CACHE.exists()
