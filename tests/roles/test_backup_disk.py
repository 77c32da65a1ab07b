# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role backup_disk refuses, writes and removes; a real systemd runs it in extensions/molecule/backup_disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import run_playbook
from tests.support.role_host import Host
from tests.support.roles import changed_tasks

pytestmark = pytest.mark.needs("root", "systemd-analyze")

TRAVEL = {
    "name": "travel",
    "source": "11111111",
    "target": "22222222",
    "schedule": "weekly",
    "on_plug": True,
    "on_success": ["bell.service"],
}
ROLE = Path(__file__).resolve().parents[2] / "roles" / "backup_disk"


def test_everything_that_a_job_needs_is_there_and_in_force(host: Host) -> None:
    foreseen = host.apply("backup_disk", check=True, backup_disk_jobs=[TRAVEL])
    assert changed_tasks(foreseen)
    assert host.tree() == []
    assert host.changing_calls == []
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[TRAVEL]))
    assert json.loads(host.read("/etc/blksync/travel.json"))["targets"] == [{"identifier": "22222222"}]
    timer = host.unit("blksync@travel.timer")
    assert (timer["ActiveState"], timer["UnitFileState"]) == ("active", "enabled")
    assert "OnCalendar=weekly" in host.loaded_text("blksync@travel.timer")
    assert "OnSuccess=bell.service" in host.loaded_text("blksync@travel.service")
    assert [text for text in host.udev_rules().values() if "22222222" in text]


def test_a_second_run_changes_nothing(host: Host) -> None:
    host.apply("backup_disk", backup_disk_jobs=[TRAVEL])
    before = host.tree()
    host.forget_calls()
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[TRAVEL])) == []
    assert host.tree() == before
    assert host.changing_calls == []


def test_removing_leaves_nothing(host: Host) -> None:
    host.apply("backup_disk", backup_disk_jobs=[TRAVEL])
    host.set_unit_state("blksync@travel.service", "active")
    assert changed_tasks(host.apply("backup_disk", backup_disk_state="absent"))
    assert host.tree() == []
    assert host.unit("blksync@travel.service")["LoadState"] == "not-found"
    assert [text for text in host.udev_rules().values() if "22222222" in text] == []
    assert changed_tasks(host.apply("backup_disk", backup_disk_state="absent")) == []


def test_everything_that_is_wrong_is_told_and_nothing_is_touched(host: Host) -> None:
    wrong = [
        {"name": "travel", "source": 11111111, "target": "22222222", "schedule": "sometimes"},
        {"name": "travel", "source": "11111111", "target": "/dev/sdb", "max_age": "long", "on_success": ["bell"]},
        {"name": "Big Disk", "source": "nonsense", "target": [], "partitions": [0]},
    ]
    run = host.apply("backup_disk", backup_disk_jobs=wrong, backup_disk_random_delay="a while")
    assert run.returncode != 0
    shown = "\n".join(run.result("Stop if anything is wrong")["msg"])
    for complaint in (
        "Two jobs have the name travel",
        "Job travel: source is the number 11111111; an identifier is text, so quote it",
        "/dev/sdb is a name that the kernel may give to another disk",
        "max_age is long",
        "bell is no name of a unit",
        "Job Big Disk: name is",
        "'nonsense' is no disk identifier",
        "targets is empty",
        "partitions holds 0",
        'A schedule is "sometimes"',
        'backup_disk_random_delay is "a while"',
    ):
        assert complaint in shown
    assert host.tree() == []
    assert run.tasks[-1].task == "Stop if anything is wrong"


@pytest.mark.parametrize("key", ["schedul", pytest.param("sources", marks=pytest.mark.full)])
def test_unknown_key_of_a_job_is_refused(host: Host, key: str) -> None:
    job = {"name": "travel", "source": "11111111", "target": "22222222", key: "x"}
    run = host.apply("backup_disk", backup_disk_jobs=[job])
    assert run.returncode != 0
    assert key in run.output
    assert "Unsupported parameters" in " ".join(run.output.split()) or "Supported parameters" in run.output


def render(tmp_path: Path, template: str, **variables: Any) -> str:
    """Return what a template of the role comes to."""
    text = "{{ lookup('ansible.builtin.template', '%s') }}" % (ROLE / "templates" / template)
    play = {
        "name": "Render a template",
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "tasks": [{"name": "Render", "ansible.builtin.debug": {"msg": text}}],
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([play]))
    run = run_playbook(playbook, variables)
    assert run.returncode == 0, run.output
    message = run.result("Render")["msg"]
    return message if isinstance(message, str) else json.dumps(message)


def test_job_file(tmp_path: Path) -> None:
    job = {
        "name": "travel",
        "source": "11111111",
        "target": ["22222222", {"identifier": "33333333", "serial": "S3"}],
        "partitions": [1],
        "max_age": "10d",
        "schedule": "weekly",
        "on_plug": True,
        "notify": True,
        "quiesce": "live",
        "quiesce_fallback": False,
        "scope": "used",
    }
    assert json.loads(render(tmp_path, "job.json.j2", __backup_disk_job=job)) == {
        "version": 1,
        "name": "travel",
        "source": "11111111",
        "targets": [{"identifier": "22222222"}, {"identifier": "33333333", "serial": "S3"}],
        "partitions": [1],
        "max_age": 864000,
        "notify": True,
        "quiesce": "live",
        "quiesce_fallback": False,
        "scope": "used",
    }


def test_metrics_may_be_written_where_jobs_want_them(tmp_path: Path) -> None:
    directories = ["/srv/my metrics", "/srv/100%", "/srv/my metrics", None]
    jobs = [{"name": "plain"}, *({"name": "job", "textfile_dir": directory} for directory in directories)]
    unit = render(tmp_path, "blksync-status.service.j2", backup_disk_state="present", backup_disk_jobs=jobs)
    allowed = [line for line in unit.splitlines() if line.startswith("ReadWritePaths=")]
    assert allowed == ['ReadWritePaths="-/srv/my metrics"', 'ReadWritePaths="-/srv/100%%"']


def test_udev_rules(tmp_path: Path) -> None:
    targets = [
        "0x22",
        {"identifier": "6F9619FF-8B86-D011-B42D-00C04FC964FF", "serial": "S2"},
        "serial:S3",
        "wwn:0x5002AB",
        "/dev/disk/by-id/usb-X-0:0",
    ]
    jobs = [
        {"name": "travel", "source": "11111111", "target": targets, "on_plug": True},
        {"name": "quiet", "source": "11111111", "target": "33333333", "partitions": [2]},
        {"name": "whole", "source": "11111111", "target": "44444444", "partitions": "all"},
        {"name": "text", "source": "11111111", "target": "55555555", "partitions": "1, 3"},
    ]
    lines = render(tmp_path, "blksync.rules.j2", backup_disk_jobs=jobs).splitlines()
    mark = 'ENV{.BLKSYNC_COPY}="1"'
    for keys in (
        'ENV{ID_PART_TABLE_UUID}=="00000022"',
        'ENV{ID_PART_TABLE_UUID}=="6f9619ff-8b86-d011-b42d-00c04fc964ff", ENV{ID_SERIAL_SHORT}=="S2"',
        'ENV{ID_SERIAL_SHORT}=="S3"',
        'ENV{ID_WWN}=="5002ab|0x5002ab|naa.5002ab"',
        'SYMLINK=="disk/by-id/usb-X-0:0|disk/by-id/usb-X-0:0-part*"',
        'ENV{ID_PART_TABLE_UUID}=="33333333"',
    ):
        assert f"{keys}, {mark}" in lines
    starts = [line for line in lines if "SYSTEMD_WANTS" in line]
    assert len(starts) == 1
    assert starts[0].startswith('ACTION=="add", ')
    assert starts[0].endswith('ENV{SYSTEMD_WANTS}+="blksync@travel.service"')
    assert [line.partition('ENV{PARTN}=="')[2].partition('"')[0] for line in lines if "PARTN" in line] == [
        "1|2",
        "2",
        "?*",
        "1|3",
    ]
    opened = [line for line in lines if line.startswith("ENV{.BLKSYNC_BELOW}==")]
    assert [line.partition('=="')[2].partition('"')[0] for line in opened] == [
        "*00000022*",
        "*6f9619ff-8b86-d011-b42d-00c04fc964ff*S2*",
        "*S3*",
        "*5002ab*",
        "*33333333*",
        "*44444444*",
        "*55555555*",
    ]
