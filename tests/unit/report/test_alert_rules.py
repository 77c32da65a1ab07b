# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules and the dashboard of docs/prometheus, as the real promtool judges them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from blksync.report.metrics import DISK_METRICS

pytestmark = pytest.mark.needs("promtool")
PLACE = Path(__file__).resolve().parents[3] / "docs" / "prometheus"
RULES = PLACE / "blksync.rules.yml"
METRICS = {metric.name for metric in DISK_METRICS} | {"blksync_job_good", "blksync_job_max_age_seconds"}
DAY = 86400
LABELS = 'instance="host",job="node",exported_job="travel"'


def promtool(*command: str) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def series(name: str, value: float, disk: str = "") -> dict[str, str]:
    labels = LABELS + (f',disk="{disk}"' if disk else "")
    return {"series": "%s{%s}" % (name, labels), "values": f"{value}+0x3000"}


def job_of(*, good: int, complete: int, running: int = 0, success: int = 0, attempt: int = 60) -> list[dict[str, str]]:
    return [
        series("blksync_job_good", good),
        series("blksync_job_max_age_seconds", DAY),
        series("blksync_disk_complete", complete, "22222222"),
        series("blksync_disk_running", running, "22222222"),
        series("blksync_disk_last_success_timestamp_seconds", success, "22222222"),
        series("blksync_disk_last_attempt_timestamp_seconds", attempt, "22222222"),
    ]


def test_rules_are_rules() -> None:
    promtool("check", "rules", str(RULES))


@pytest.mark.parametrize(
    ("at", "given", "expected"),
    [
        ("2h", job_of(good=1, complete=1), []),
        ("30m", job_of(good=0, complete=0), []),
        ("2h", job_of(good=0, complete=0), ["BackupDiskIncomplete", "BackupNotGood"]),
        ("2h", job_of(good=0, complete=0, running=1), []),
        ("2h", job_of(good=0, complete=0, attempt=0), ["BackupNotGood"]),
        ("26h", job_of(good=1, complete=1), ["BackupTooOld"]),
        ("26h", job_of(good=1, complete=1, success=DAY), []),
    ],
)
def test_alerts_fire_when_a_backup_needs_somebody(
    tmp_path: Path, at: str, given: list[dict[str, str]], expected: list[str]
) -> None:
    names = [rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"], rule["labels"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    disk = ["BackupDiskIncomplete"]
    checks: list[dict[str, Any]] = []
    for name in names:
        labels = {"instance": "host", "job": "node", "exported_job": "travel"}
        labels.update({"disk": "22222222"} if name in disk else {})
        fires = [{"exp_labels": labels}] if name in expected else []
        checks.append({"eval_time": at, "alertname": name, "exp_alerts": fires})
    test = {
        "rule_files": ["rules.yml"],
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": checks}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", str(tmp_path / "test.yml"))


def test_dashboard_asks_for_metrics_that_exist(tmp_path: Path) -> None:
    panels = json.loads((PLACE / "grafana-dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    used = {name for query in queries for name in re.findall(r"blksync_\w+", query)}
    assert used <= METRICS
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", str(tmp_path / "panels.yml"))


def test_rules_ask_for_metrics_that_exist() -> None:
    assert set(re.findall(r"blksync_(?:disk|job)_\w+", RULES.read_text())) <= METRICS
