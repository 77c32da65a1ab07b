# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role backup_disk refuses, writes, brings into force and removes, with fakes of systemd and udev.

How each value is read and each file looks is tested in tests/unit/scheduling; a real systemd runs the role in
extensions/molecule/backup_disk.
"""

from __future__ import annotations

import configparser
import json
import subprocess
from typing import Any

import pytest

from tests.support.blocksync_program import standin
from tests.support.role_host import Host
from tests.support.roles import changed_tasks

pytestmark = pytest.mark.needs("root", "systemd-analyze")

TRAVEL: dict[str, Any] = {
    "name": "travel",
    "source": "11111111",
    "target": "22222222",
    "schedule": "weekly",
    "on_plug": True,
    "on_success": ["bell.service"],
    "textfile_dir": "/srv/metrics",
}
HOME: dict[str, Any] = {"name": "home", "source": "11111111", "target": "33333333", "schedule": "monthly"}
OF_A_JOB = (
    "/etc/blksync/{0}.json",
    "/etc/systemd/system/blksync@{0}.service.d/50-backup-disk.conf",
    "/etc/systemd/system/blksync@{0}.timer",
    "/etc/udev/rules.d/91-blksync-{0}.rules",
)


def jobs_of(host: Host) -> set[str]:
    """The names of the jobs of which every file is there."""
    names = {"travel", "home"}
    return {name for name in names if all(host.exists(path.format(name)) for path in OF_A_JOB)}


def is_gone(host: Host, name: str) -> bool:
    """Whether nothing is left of a job."""
    return not [path for path in host.tree() if name in path and not path.startswith("removed ")]


def test_a_check_shows_every_file_of_a_fresh_host(host: Host) -> None:
    foreseen = host.apply("backup_disk", check=True, diff=True, backup_disk_jobs=[TRAVEL])
    assert changed_tasks(foreseen)
    assert host.tree() == []
    assert host.changing_calls == []
    for path in (path.format("travel") for path in OF_A_JOB):
        assert f"+++ after: {path}" in foreseen.output, path
    for line in (
        "OnCalendar=weekly",
        '            "identifier": "22222222"',
        "ExecStart=/usr/local/bin/blksync sync %i",
        "ExecStart=/usr/local/bin/blksync status --textfile",
        "OnCalendar=hourly",
    ):
        assert f"+{line}\n" in foreseen.output, line


def test_everything_that_a_job_needs_is_in_force(host: Host) -> None:
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[TRAVEL]))
    assert json.loads(host.read("/etc/blksync/travel.json"))["targets"] == [{"identifier": "22222222"}]
    for name in ("blksync@travel.timer", "blksync-status.timer"):
        timer = host.unit(name)
        assert (timer["ActiveState"], timer["UnitFileState"]) == ("active", "enabled")
    assert "OnCalendar=weekly" in host.loaded_text("blksync@travel.timer")
    assert "OnSuccess=bell.service" in host.loaded_text("blksync@travel.service")
    assert [text for text in host.udev_rules().values() if "22222222" in text]

    before = host.tree()
    host.forget_calls()
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[TRAVEL])) == []
    assert host.tree() == before
    assert host.changing_calls == []


def test_removing_leaves_nothing_and_reads_nothing(host: Host) -> None:
    host.apply("backup_disk", backup_disk_jobs=[TRAVEL, HOME])
    host.set_unit_state("blksync@travel.service", "active")
    host.write("/etc/blksync/travel.json", "")
    host.write("/etc/blksync/home.json", "{")
    host.write("/srv/metrics/blksync_travel.prom", "x 1\n")
    assert changed_tasks(host.apply("backup_disk", backup_disk_state="absent"))
    assert [path for path in host.tree() if not path.startswith("/srv")] == []
    assert not host.exists("/srv/metrics/blksync_travel.prom")
    assert host.unit("blksync@travel.service")["LoadState"] == "not-found"
    assert [text for text in host.udev_rules().values() if "22222222" in text] == []
    assert changed_tasks(host.apply("backup_disk", backup_disk_state="absent")) == []


def test_everything_wrong_is_reported_and_nothing_is_touched(host: Host) -> None:
    wrong = [
        {"name": "travel", "source": 11111111, "target": "22222222", "schedule": "sometimes"},
        {"name": "travel", "source": "11111111", "target": "/dev/sdb", "max_age": "long", "on_success": ["bell"]},
        {"name": "Big Disk", "source": "nonsense", "target": [], "partitions": [0]},
    ]
    run = host.apply(
        "backup_disk", backup_disk_jobs=wrong, backup_disk_random_delay="a while", backup_disk_python="/usr/bin/false"
    )
    assert run.returncode != 0
    shown = "\n".join(run.result("Stop if anything is wrong")["msg"])
    for complaint in (
        "Two jobs have the name travel",
        "Job travel: source is the number 11111111; an identifier is text, so quote it",
        "/dev/sdb is a name that the kernel gives to another disk",
        'max_age is "long"',
        '"bell", which is no name of a unit',
        "Job Big Disk: name is",
        "'nonsense' is no disk identifier",
        "targets is empty",
        "partitions holds 0",
        "Job travel: schedule is 'sometimes'",
        "random_delay is 'a while'",
        "/usr/bin/false is not a Python 3.8 or later",
    ):
        assert complaint in shown, complaint
    assert host.tree() == []
    assert host.changing_calls == []
    assert run.tasks[-1].task == "Stop if anything is wrong"


@pytest.mark.parametrize("key", ["schedul", pytest.param("sources", marks=pytest.mark.full)])
def test_unknown_key_of_a_job_is_refused(host: Host, key: str) -> None:
    run = host.apply("backup_disk", backup_disk_jobs=[{**HOME, key: "x"}])
    assert run.returncode != 0
    assert key in run.output
    assert "Supported parameters" in " ".join(run.output.split())
    assert host.tree() == []


def test_values_that_ansible_checks_but_leaves_as_they_are(host: Host) -> None:
    plain = {**HOME, "quiesce_timeout": 600, "on_success": ["a.service", "b.service"]}
    odd = {
        **HOME,
        "quiesce_timeout": "600",
        "on_success": "a.service,b.service",
        "on_plug": "false",
        "textfile_dir": None,
        "max_age": "{{ omit }}",  # ansible-core 2.18 refuses it for other types than raw
        "partitions": None,
    }
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[plain]))
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[odd], backup_disk_exclusive="false")) == []
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[{**plain, "schedule": ""}]))
    assert not host.exists("/etc/systemd/system/blksync@home.timer")


MANAGED = 'Managed by "Ansible":\\\n\n  [Service]\nExecStart=/bin/false \\\n'


def test_ansible_managed_with_many_lines_is_a_comment(host: Host) -> None:
    # Up to 2.18 the setting counts, then the variable.
    host.write("ansible.cfg", "[defaults]\nansible_managed = " + MANAGED.replace("\n\n", "\n").replace("\n", "\n  "))
    host.write("group_vars/all.yml", json.dumps({"ansible_managed": MANAGED}))
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[TRAVEL]))
    subprocess.run(["/usr/local/bin/blksync", "--version"], check=True)
    for path in host.tree("/etc/systemd/system/", "/etc/udev/rules.d/"):
        if path.endswith("/") or "wants" in path:
            continue
        lines = [line for line in host.read(path).splitlines() if line and not line.startswith("#")]
        assert not [line for line in lines if "/bin/false" in line], path
        assert any("Managed by" in line for line in host.read(path).splitlines()), path
        if "/system/" in path:
            configparser.RawConfigParser(strict=False).read_string("\n".join(lines))


@pytest.mark.parametrize(
    "call",
    [
        "systemctl daemon-reload",
        pytest.param("udevadm control", marks=pytest.mark.full),
        pytest.param("udevadm trigger", marks=pytest.mark.full),
        pytest.param("systemctl enable", marks=pytest.mark.full),
        pytest.param("systemctl start", marks=pytest.mark.full),
    ],
)
def test_a_run_that_failed_in_the_middle_is_completed(host: Host, call: str) -> None:
    host.apply("backup_disk", backup_disk_jobs=[HOME])
    daily = {**TRAVEL, "textfile_dir": None}
    changed = {**HOME, "schedule": "daily", "target": "44444444"}
    host.set_udev_database(udev_database(host))
    host.fail_at(call)
    assert host.apply("backup_disk", backup_disk_jobs=[changed, daily]).returncode != 0
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[changed, daily]))
    assert "OnCalendar=daily" in host.loaded_text("blksync@home.timer")
    assert [text for text in host.udev_rules().values() if "44444444" in text]
    for name in ("home", "travel"):
        timer = host.unit(f"blksync@{name}.timer")
        assert (timer["ActiveState"], timer["UnitFileState"]) == ("active", "enabled")


def udev_database(host: Host) -> str:
    """A disk that has been through the rules as they are now."""
    rules = host.read("/etc/udev/rules.d/90-blksync.rules")
    digest = rules.partition('ENV{BLKSYNC_RULES}="')[2].partition('"')[0]
    return f"P: /devices/sda\nE: DEVNAME=/dev/sda\nE: SUBSYSTEM=block\nE: BLKSYNC_RULES={digest}\n"


@pytest.mark.full
def test_disks_that_missed_the_rules_are_named(host: Host) -> None:
    host.set_udev_database("P: /devices/sda\nE: DEVNAME=/dev/sda\nE: SUBSYSTEM=block\n")
    first = host.apply("backup_disk", backup_disk_jobs=[HOME])
    assert "/dev/sda: udev has not applied the rules yet" in str(
        first.result("Name the devices that have not been through the udev rules")["msg"]
    )
    host.forget_calls()
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[HOME])), "udev is asked once more"
    host.set_udev_database(udev_database(host))
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[HOME])) == []


def test_the_role_used_twice_keeps_both_jobs(host: Host) -> None:
    include = {
        "name": "Apply the role once for each job",
        "ansible.builtin.include_role": {"name": "blksync.backup.backup_disk"},
        "loop": [TRAVEL, HOME],
        "vars": {"backup_disk_jobs": ["{{ item }}"]},
    }
    play = {"name": "Use the role twice", "hosts": "workstation", "gather_facts": False, "tasks": [include]}
    assert changed_tasks(host.run([play]))
    assert jobs_of(host) == {"travel", "home"}
    assert host.unit("blksync-status.timer")["ActiveState"] == "active"
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[HOME], backup_disk_exclusive="yes"))
    assert jobs_of(host) == {"home"}
    assert is_gone(host, "travel")
    assert host.unit("blksync@travel.timer")["LoadState"] == "not-found"
    assert host.unit("blksync-status.timer")["ActiveState"] == "inactive"


@pytest.mark.full
def test_parts_of_the_role(host: Host) -> None:
    checked = host.apply("backup_disk", tasks_from="preflight", backup_disk_jobs=[TRAVEL])
    assert changed_tasks(checked) == []
    assert host.tree() == []
    assert changed_tasks(host.apply("backup_disk", tasks_from="install"))
    assert host.exists("/usr/local/bin/blksync")
    assert changed_tasks(host.apply("backup_disk", tasks_from="jobs", backup_disk_jobs=[TRAVEL]))
    assert jobs_of(host) == {"travel"}
    tag = ["--tags", "backup_disk_jobs"]
    tagged = host.apply("backup_disk", options=tag, backup_disk_jobs=[HOME])
    assert changed_tasks(tagged)
    assert "Install the command blksync" not in [task.task for task in tagged.tasks]
    assert jobs_of(host) == {"travel", "home"}


@pytest.mark.full
@pytest.mark.parametrize(("identifier", "accepted"), [("11111111", False), ("ptuuid:11111111", True)])
def test_an_ini_inventory_needs_the_form_that_is_text(host: Host, identifier: str, accepted: bool) -> None:
    host.write("hosts.ini", host.read(str(host.playbooks / "hosts.ini")).rstrip() + f" main_disk={identifier}\n")
    job = {**HOME, "source": "{{ hostvars['workstation'].main_disk }}"}
    run = host.run(
        [
            {
                "name": "Apply the role",
                "hosts": "workstation",
                "gather_facts": False,
                "vars": {"backup_disk_jobs": [job]},
                "roles": ["blksync.backup.backup_disk"],
            }
        ]
    )
    assert (run.returncode == 0) is accepted
    if not accepted:
        assert "write ptuuid:11111111" in "\n".join(run.result("Stop if anything is wrong")["msg"])


@pytest.mark.full
def test_one_variable_brings_the_program_and_makes_it_the_engine(host: Host) -> None:
    program = host.write("standin", standin())
    variables: dict[str, Any] = {
        "backup_disk_blocksync_fast": "true",
        "blocksync_fast_source": str(program),
        "backup_disk_jobs": [HOME, {**TRAVEL, "engine": "native"}],
    }
    assert changed_tasks(host.apply("backup_disk", **variables))
    engines = {name: json.loads(host.read(f"/etc/blksync/{name}.json"))["engine"] for name in ("home", "travel")}
    assert engines == {"home": "blocksync_fast", "travel": "native"}
    assert host.exists("/usr/local/bin/blocksync-fast")
    assert host.unit("blksync@home.timer")["ActiveState"] == "active"
    assert changed_tasks(host.apply("backup_disk", **variables)) == []
    assert changed_tasks(host.apply("backup_disk", backup_disk_jobs=[HOME]))
    assert "engine" not in json.loads(host.read("/etc/blksync/home.json"))
