# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebooks in extensions/eda: ansible-rulebook accepts them, and an event starts a sync of the right host."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ansible import ansible_environment
from tests.support.blocks import content, fill
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers
from tests.support.waiting import wait_for
from tests.tooling.paths import ROOT, VENV_BIN

RULEBOOKS = sorted((ROOT / "extensions" / "eda" / "rulebooks").glob("*.yml"))
RULES = ROOT / "docs" / "prometheus" / "blksync.rules.yml"
TOKEN = "not-secret"
PLUGGED_IN = {"event": "backup_disk_plugged_in", "host": "desk1"}
STALE = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "HostHot", "instance": "desk2:9100"}},
        {"status": "resolved", "labels": {"alertname": "BackupTooOld", "instance": "desk2:9100"}},
        {"status": "firing", "labels": {"alertname": "BackupTooOld", "instance": "desk1:9100"}},
    ],
}


@pytest.mark.parametrize("path", RULEBOOKS, ids=lambda path: path.stem)
def test_rulebook_is_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{VENV_BIN}:{os.environ['PATH']}")  # it asks ansible-galaxy about collections
    from ansible_rulebook.rules_parser import parse_rule_sets
    from ansible_rulebook.validators import Validate

    rule_sets = yaml.safe_load(path.read_text())
    Validate.rulebook(rule_sets)
    (parsed,) = parse_rule_sets(rule_sets)
    assert [rule.enabled for rule in parsed.rules] == [True]


def test_the_alerts_that_a_rulebook_knows_exist() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    rulebook = (ROOT / "extensions" / "eda" / "rulebooks" / "backup_stale.yml").read_text()
    assert [name for name in alerts if f'"{name}"' not in rulebook] == ["BackupMetricsOld"], "a sync is no cure for it"


@pytest.fixture
def disks() -> Iterator[tuple[PartitionedDisk, PartitionedDisk]]:
    """A main disk and an empty backup disk."""
    source, target = identifiers()
    with PartitionedDisk(source, [4 * MIB // SECTOR]) as main, PartitionedDisk(target, [4 * MIB // SECTOR]) as backup:
        fill(main.partition(1))
        yield main, backup


@pytest.fixture
def inventory(tmp_path: Path, disks: tuple[PartitionedDisk, PartitionedDisk]) -> Path:
    """Two workstations, both of them this machine; only the first one has disks."""
    source, target = (disk.identifier for disk in disks)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "blksync_partitions": [1]}
    hosts = {
        "desk1": {**local, "blksync_source": source, "blksync_target": target},
        "desk2": {**local, "blksync_source": "0ddba221", "blksync_target": "0ddba222"},
    }
    path = tmp_path / "inventory.yml"
    path.write_text(json.dumps({"workstation": {"hosts": hosts}}))
    return path


@contextlib.contextmanager
def listening(rulebook: str, inventory: Path, port: int) -> Iterator[Path]:
    """Run a rulebook of the installed collection until the end, and yield the file of its output."""
    variables, output = inventory.parent / "vars.yml", inventory.parent / "output"
    variables.write_text(json.dumps({"blksync_port": port, "blksync_token": TOKEN}))
    options = ["--rulebook", f"blksync.backup.{rulebook}", "--inventory", str(inventory), "--vars", str(variables)]
    with output.open("w") as file, contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            [VENV_BIN / "ansible-rulebook", *options],
            env={**os.environ, **ansible_environment(), "PATH": f"{VENV_BIN}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        yield output


def send(port: int, payload: dict[str, Any], token: str = TOKEN) -> int:
    """Send an event and return the HTTP status; 0 if nobody listens yet."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}/endpoint"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(payload).encode(), headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.full
@pytest.mark.needs("root", "loop-devices", "java")
@pytest.mark.parametrize(("rulebook", "payload"), [("backup_disk_plugged_in", PLUGGED_IN), ("backup_stale", STALE)])
def test_an_event_syncs_the_host_that_it_names(
    disks: tuple[PartitionedDisk, PartitionedDisk], inventory: Path, rulebook: str, payload: dict[str, Any]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main, backup = disks
    with listening(rulebook, inventory, port) as output:
        wait_for(lambda: send(port, {}, "wrong") == 401, 300, output.read_text)
        assert send(port, payload) == 200
        wait_for(lambda: "PLAY RECAP" in output.read_text(), 300, output.read_text)
        wait_for(lambda: "failed=0" in output.read_text(), state=output.read_text)
        assert "desk2" not in output.read_text()
    assert content(main.partition(1)) == content(backup.partition(1))
