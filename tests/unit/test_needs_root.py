# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ordinary user hears "needs root" at each door before anything else is looked at."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from blksync import cli
from blksync.cli.arguments import NEEDS_ROOT, OK
from blksync.discovery.host import System
from blksync.discovery.observe import unread
from blksync.system import privilege
from tests.support.machines import disk
from tests.tooling.paths import ROOT

from .test_option_table import COLLECTION, REQUESTS, collection

__all__ = ["collection"]


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "is_root", lambda: False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync", "travel"],
        ["sync", "travel", "--check"],
        ["sync", "--source", "1", "--target", "the big one"],
        ["verify", "travel"],
        ["restore-state"],
    ],
)
def test_these_subcommands_need_root(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == NEEDS_ROOT
    printed = capsys.readouterr()
    assert printed.err == f"blksync: blksync {arguments[0]} needs root.\nblksync:   {cli.AS_ROOT}\n"
    assert printed.out == ""


def test_each_subcommand_is_known_to_need_root_or_not() -> None:
    assert set(cli.COMMANDS) - set(cli.ROOT_ONLY) == {"status", "history", "disks", "check-config", "completion"}


def test_status_works_without_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([f"--config-dir={tmp_path}", "status"]) == OK
    assert "There are no jobs" in capsys.readouterr().out


def test_a_file_that_the_user_may_not_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def denied(_options: object) -> int:
        raise PermissionError(13, "Permission denied", "/etc/blksync")

    monkeypatch.setitem(cli.COMMANDS, "status", denied)
    assert cli.main(["status"]) == NEEDS_ROOT
    assert cli.AS_ROOT in capsys.readouterr().err


class FakeSystem(System):
    """Only one disk may be read."""

    def may_read(self, path: str) -> bool:
        return path == "/dev/sda"


def test_disks_that_could_not_be_read_are_named() -> None:
    disks = [disk("sda", 8, "11111111"), disk("sdb", 9, "22222222")]
    assert unread(disks, FakeSystem()).startswith("This user may not read /dev/sdb. ")
    assert unread(disks[:1], FakeSystem()) == ""


class Failed(Exception):
    """Ends a module where Ansible would."""


@pytest.mark.usefixtures("collection")
def test_a_module_that_copies_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    utilities = f"{COLLECTION}.plugins.module_utils"
    adapter = importlib.import_module(f"{utilities}.ansible_adapter")
    monkeypatch.setattr(importlib.import_module(f"{utilities}.blksync.system.privilege"), "is_root", lambda: False)

    class FakeModule:
        """What run_core() calls."""

        def fail_json(self, **result: Any) -> None:
            raise Failed(json.dumps(result))

    def never(_module: object) -> dict[str, Any]:
        raise AssertionError("something was looked at")

    with pytest.raises(Failed) as ended:
        adapter.run_core(FakeModule(), never)
    result = json.loads(str(ended.value))
    assert result["kind"] == "needs_root"
    assert result["msg"] == "This module needs root. Set become: true for the task."


@pytest.mark.parametrize("name", [*REQUESTS, "disk_info"])
def test_only_disk_info_works_without_root(name: str) -> None:
    source = (ROOT / "plugins" / "modules" / f"{name}.py").read_text()
    assert "run_core(module, " in source
    assert ("needs_root=False" in source) == (name == "disk_info")
