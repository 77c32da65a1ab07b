# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A workstation after the role ran: its timer copies a running system, plugging in does, and all can be removed.

Two backup disks take turns: the first one is plugged in at the beginning, the second one later, and its copy is killed.

The tests are one story and run in this order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from tests.support.ansible import PlaybookRun
from tests.support.roles import apply_role, changed_tasks
from tests.tooling.paths import COLLECTIONS
from tests.vm import __main__ as vm
from tests.vm.cache import cache_dir
from tests.vm.machine import Machine
from tests.vm.waiting import wait_for

GALAXY = Path(__file__).resolve().parents[4] / "galaxy.yml"
CORE = COLLECTIONS / "ansible_collections" / "blksync" / "backup" / "plugins" / "module_utils" / "blksync"
MAIN, BACKUP, SECOND = "11111111", "22222222", "33333333"
SERVICE, TIMER, INHIBITOR = "blksync@travel.service", "blksync@travel.timer", "blksync-inhibit@travel.service"
STATUS, STATUS_TIMER = "blksync-status.service", "blksync-status.timer"
TEXTFILES = "/var/lib/node-exporter"
TRAVEL = {
    "name": "travel",
    "source": MAIN,
    "target": [BACKUP, {"identifier": SECOND, "serial": "BACKUPDISK0004"}],
    "schedule": "weekly",
    "on_plug": True,
    "max_age": "10d",
    "textfile_dir": TEXTFILES,
}
pytestmark = pytest.mark.timeout(1500)
COPY_LIMIT = 900  # seconds for a copy under software emulation on a busy machine


@pytest.fixture
def machine() -> Machine:
    found = Machine.load(cache_dir() / "machines" / os.environ["MOLECULE_SCENARIO_NAME"])
    assert found
    return found


def apply(check: bool = False, **variables: Any) -> PlaybookRun:
    return apply_role("backup_disk", check=check, **{"backup_disk_random_delay": "1s", **variables})


def runs(host: Host) -> list[dict[str, Any]]:
    """Return the runs of the job, newest first."""
    found: list[dict[str, Any]] = json.loads(host.check_output("blksync history travel --json"))["runs"]
    return found


def standing(host: Host) -> dict[str, Any]:
    """Return what `blksync status` says of the job."""
    jobs = json.loads(host.run("blksync status --json").stdout)["jobs"]
    found: dict[str, Any] = next(job for job in jobs if job["job"] == "travel")
    return found


def states(host: Host) -> list[tuple[str, str]]:
    """Return the identifier and the state of each disk of the job, in the order of `blksync status`."""
    return [(disk["identifier"], disk["state"]) for disk in standing(host)["disks"]]


def metric(host: Host, name: str, disk: str = "") -> float:
    """Let the service of the timer write the metrics, and return one."""
    host.check_output(f"systemctl start {STATUS}")
    labels = f'job="travel",disk="{disk}"' if disk else 'job="travel"'
    lines = host.check_output(f"cat {TEXTFILES}/blksync_travel.prom").splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{{labels}}} "))


def state(host: Host, unit: str, name: str = "ActiveState") -> str:
    return str(host.check_output(f"systemctl show --property={name} --value {unit}"))


def traces(host: Host) -> set[str]:
    places = "/etc /usr/local /var /run"
    return set(host.check_output(f"find {places} -xdev -name '*blksync*' -not -path '/run/systemd/*'").split())


def disk_of(host: Host, link: str) -> str:
    """Return the identifier of the disk below a device."""
    return str(
        host.check_output(
            f"lsblk --inverse --list --noheadings --output TYPE,PTUUID {link} | awk '$1==\"disk\"{{print $2}}'"
        )
    )


@pytest.fixture
def before_ours(host: Host) -> Iterator[None]:
    """Keep the clock of the machine as it is for the test."""
    offset = int(host.check_output("date +%s")) - int(host.check_output("cut -d. -f1 /proc/uptime"))
    yield
    host.check_output(f"date --set=@$(( {offset} + $(cut -d. -f1 /proc/uptime) ))")


def test_command_is_the_collections_core_byte_for_byte(host: Host) -> None:
    listing = host.check_output("cd /usr/local/lib/blksync/*/blksync && find -type f | xargs sha256sum")
    installed = {name.removeprefix("./"): digest for digest, name in (line.split() for line in listing.splitlines())}
    core = {str(path.relative_to(CORE)): hashlib.sha256(path.read_bytes()).hexdigest() for path in CORE.rglob("*.py")}
    assert installed == core


def test_version_is_the_collections(host: Host) -> None:
    version = yaml.safe_load(GALAXY.read_text())["version"]
    assert version in host.check_output("blksync --version").split()
    assert host.run("find /usr/local/lib/blksync -name '__pycache__'").stdout == ""


def test_timer_is_enabled_and_waits(host: Host) -> None:
    assert host.service(TIMER).is_enabled
    assert host.service(TIMER).is_running
    assert state(host, TIMER, "Persistent") == "yes"
    assert state(host, TIMER, "RandomizedDelayUSec") == "1s"


@pytest.mark.parametrize(("schedule", "next_run"), [("*-01-01 00:00:00", "-01-01 00:00:0"), ("weekly", " 00:00:0")])
def test_a_new_schedule_is_in_force(host: Host, schedule: str, next_run: str) -> None:
    job = {**TRAVEL, "on_success": ["told-of-success.service"], "schedule": schedule}
    assert changed_tasks(apply(backup_disk_jobs=[job]))
    assert f"OnCalendar={'*-01-01' if 'weekly' not in schedule else 'Mon'}" in state(host, TIMER, "TimersCalendar")
    assert next_run in state(host, TIMER, "NextElapseUSecRealtime")
    assert changed_tasks(apply(backup_disk_jobs=[job])) == []


def test_metrics_are_written_every_hour(host: Host) -> None:
    assert host.service(STATUS_TIMER).is_enabled
    assert host.service(STATUS_TIMER).is_running
    assert state(host, STATUS_TIMER, "Persistent") == "yes"
    assert "hourly" in host.check_output(f"systemctl cat {STATUS_TIMER}")


def test_jobs_are_valid_and_roots(host: Host) -> None:
    assert host.run("blksync check-config").rc == 0
    for name in ("travel", "lost"):
        file = host.file(f"/etc/blksync/{name}.json")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


def test_units_are_sound(host: Host) -> None:
    found = host.run(f"systemd-analyze verify {SERVICE} {TIMER} {INHIBITOR} {STATUS} {STATUS_TIMER}")
    assert (found.rc, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(("unit", "most"), [(SERVICE, 5.0), (INHIBITOR, 2.0), (STATUS, 2.0)])
def test_exposure(host: Host, unit: str, most: float) -> None:
    report = host.check_output(f"systemd-analyze security --no-pager {unit}")
    verdict = report.splitlines()[-1]
    print(verdict)
    assert float(verdict.split(":")[1].split()[0]) <= most


def test_udev_rules_are_applied_to_disks_that_were_there(host: Host) -> None:
    for number in (1, 2):
        backup = host.check_output(f"udevadm info --query=property /dev/disk/by-partuuid/{BACKUP}-0{number}")
        main = host.check_output(f"udevadm info --query=property /dev/disk/by-partuuid/{MAIN}-0{number}")
        assert "UDISKS_IGNORE=1" in backup
        assert "UDISKS_IGNORE" not in main
    third = host.check_output(f"udevadm info --query=property /dev/disk/by-partuuid/{BACKUP}-03")
    assert "UDISKS_IGNORE" not in third


def test_a_job_without_its_disk_fails_if_it_shall_and_tells(host: Host) -> None:
    assert host.run("systemctl start blksync@lost.service").rc != 0
    assert state(host, "blksync@lost.service", "ExecMainStatus") == "3"
    wait_for("the failure was told", lambda: host.file("/run/told-of-failure").exists, 30)


def test_the_timer_copies_the_running_system(host: Host, before_ours: None) -> None:
    assert runs(host) == []
    elapse = int(
        host.check_output(f'date --date="$(systemctl show --property=NextElapseUSecRealtime --value {TIMER})" +%s')
    )
    host.check_output(f"date --set=@{elapse - 3}")
    wait_for("the timer fired", lambda: state(host, SERVICE) == "activating", 60)
    inhibitors = wait_for(
        "sleep is inhibited", lambda: host.run("systemd-inhibit --list --no-pager | grep blksync").stdout, 60
    )
    assert "shutdown:sleep" in inhibitors or "sleep:shutdown" in inhibitors
    # Unmounting must be seen by everyone, so there must be no mounts of its own.
    main_pid = state(host, SERVICE, "MainPID")
    assert len(set(host.check_output(f"readlink /proc/1/ns/mnt /proc/{main_pid}/ns/mnt").split())) == 1
    wait_for("the copy ended", lambda: state(host, SERVICE) in ("inactive", "failed"), COPY_LIMIT, every=2)
    print(host.check_output(f"journalctl --no-pager --output=cat --unit={SERVICE}"))
    assert state(host, SERVICE, "Result") == "success"
    (run,) = runs(host)
    assert run["changed"]
    assert all(pair["complete"] for pair in run["partitions"])
    wait_for("success was told", lambda: host.file("/run/told-of-success").exists, 30)
    wait_for("sleep is allowed again", lambda: state(host, INHIBITOR) == "inactive", 30)


def test_everything_is_as_before(host: Host) -> None:
    assert host.mount_point("/boot/efi").exists
    assert disk_of(host, host.mount_point("/boot/efi").device) == MAIN
    host.check_output("touch /root/not-frozen")
    assert "Nothing is left" in host.check_output("blksync restore-state")


def test_the_copy_is_the_main_disks_system(host: Host) -> None:
    uuids = "blkid --probe --output value --match-tag UUID /dev/disk/by-partuuid"
    for number in (1, 2):
        copy, original = (host.check_output(f"{uuids}/{disk}-0{number}") for disk in (BACKUP, MAIN))
        assert copy == original
    host.check_output(f"mkdir /run/esp && mount -o ro /dev/disk/by-partuuid/{BACKUP}-01 /run/esp")
    sums = host.check_output(
        "sha256sum < /run/esp/vmlinuz; sha256sum < /boot/efi/vmlinuz; umount /run/esp; rmdir /run/esp"
    )
    assert len(set(sums.splitlines())) == 1


def test_links_stay_with_the_main_disk(host: Host) -> None:
    for number in (1, 2):
        uuid = host.check_output(
            f"blkid --probe --output value --match-tag UUID /dev/disk/by-partuuid/{MAIN}-0{number}"
        )
        assert disk_of(host, f"/dev/disk/by-uuid/{uuid}") == MAIN


def test_links_stay_with_the_main_disk_when_the_copy_is_opened(host: Host) -> None:
    uuid = host.check_output("findmnt --noheadings --output UUID /")
    host.check_output(f"cryptsetup open --key-file /etc/keys/root.key /dev/disk/by-partuuid/{BACKUP}-02 copy")
    try:
        host.check_output("udevadm settle")
        assert disk_of(host, "/dev/mapper/copy") == BACKUP
        assert disk_of(host, f"/dev/disk/by-uuid/{uuid}") == MAIN
        assert "UDISKS_IGNORE=1" in host.check_output("udevadm info --query=property /dev/mapper/copy")
    finally:
        host.check_output("cryptsetup close copy")


def test_plugging_in_starts_the_job_once(host: Host, machine: Machine) -> None:
    vm.unplug(machine, "backup")
    wait_for("the disk is gone", lambda: not host.file(f"/dev/disk/by-partuuid/{BACKUP}-01").exists, 60)
    before = len(runs(host))
    vm.plug(machine, "backup")
    wait_for("the job started", lambda: state(host, SERVICE) == "activating", 60)
    wait_for("the copy ended", lambda: state(host, SERVICE) in ("inactive", "failed"), COPY_LIMIT, every=2)
    assert state(host, SERVICE, "Result") == "success"
    # Writing makes udev look at the disk again; that must not start it again.
    host.check_output("udevadm settle && udevadm trigger --action=change --subsystem-match=block --settle")
    assert state(host, SERVICE) == "inactive"
    assert len(runs(host)) == before + 1


def test_status(host: Host) -> None:
    """The success of the timer is dated in the future, because the clock was ahead; that of plugging in is not."""
    found = host.run("blksync status")
    print(found.stdout)
    assert found.rc == 4, "nothing was ever copied to the disk of the job lost"
    assert states(host) == [(SECOND, "never"), (BACKUP, "complete")]
    job = standing(host)
    assert (job["good"], job["max_age"], bool(job["next_run"])) == (True, 864000, True)
    assert metric(host, "blksync_job_good") == 1
    assert metric(host, "blksync_disk_last_success_timestamp_seconds", SECOND) == 0


def test_an_absent_disk_is_no_failure_at_the_scheduled_time(host: Host, machine: Machine) -> None:
    vm.unplug(machine, "backup")
    wait_for("the disk is gone", lambda: not host.file(f"/dev/disk/by-partuuid/{BACKUP}-01").exists, 60)
    host.check_output(f"systemctl start {SERVICE}")
    assert state(host, SERVICE, "Result") == "success"


def test_a_killed_copy_leaves_one_of_two_disks_torn(host: Host, machine: Machine) -> None:
    assert changed_tasks(apply(backup_disk_jobs=[TRAVEL], backup_disk_exclusive=True))
    assert not host.file("/etc/blksync/lost.json").exists
    vm.plug(machine, "second")
    link = machine.disk("second").by_id
    wait_for("the job started", lambda: state(host, SERVICE) == "activating", 60)
    written = f"$(awk '{{print $7}}' /sys/class/block/$(basename $(readlink {link}))/stat)"
    machine.ssh.run(f"until [ {written} -gt 32768 ]; do sleep .1; done", timeout=COPY_LIMIT)  # sectors: 16 MiB
    running = metric(host, "blksync_disk_running", SECOND)
    machine.ssh.run(f"systemctl kill --signal=SIGKILL {SERVICE}")
    wait_for("the service failed", lambda: state(host, SERVICE) == "failed", 60)
    assert running == 1
    host.check_output("touch /root/not-frozen")
    vm.unplug(machine, "second")
    wait_for("the disk is gone", lambda: not host.file(link).exists, 60)
    assert states(host) == [(SECOND, "interrupted"), (BACKUP, "complete")]


def test_one_good_disk_of_two_is_enough_for_require_any(host: Host) -> None:
    found = host.run("blksync status")
    print(found.stdout)
    assert found.rc == 0
    lines = found.stdout.splitlines()
    assert lines[1].split()[:4] == ["travel", SECOND, "(BACKUPDISK0004)", "interrupted"]
    assert "no backup now: plug the disk in and run blksync sync travel." in lines[2]
    assert lines[3].split()[:4] == ["travel", BACKUP, "(BACKUPDISK0002)", "complete"]
    assert metric(host, "blksync_job_good") == 1
    assert [metric(host, "blksync_disk_complete", disk) for disk in (SECOND, BACKUP)] == [0, 1]
    assert metric(host, "blksync_disk_running", SECOND) == 0


def test_one_torn_disk_of_two_is_too_many_for_require_all(host: Host) -> None:
    assert changed_tasks(apply(backup_disk_jobs=[{**TRAVEL, "require": "all"}]))
    assert host.run("blksync status").rc == 4
    assert not standing(host)["good"]
    assert metric(host, "blksync_job_good") == 0
    assert [metric(host, "blksync_disk_complete", disk) for disk in (SECOND, BACKUP)] == [0, 1]


def test_what_is_off_the_list_is_removed_and_nothing_else(host: Host) -> None:
    travel = {"name": "travel", "source": MAIN, "target": BACKUP}
    home = {"name": "home", "source": MAIN, "target": BACKUP, "schedule": "monthly"}
    assert changed_tasks(apply(backup_disk_jobs=[home]))
    assert host.run("blksync check-config").stdout.count("is valid") == 2
    assert changed_tasks(apply(backup_disk_jobs=[travel], backup_disk_exclusive=True))
    assert not host.file("/etc/blksync/home.json").exists
    assert state(host, "blksync@home.timer", "LoadState") == "not-found"
    assert changed_tasks(apply(backup_disk_jobs=[home]))
    assert [path for path in traces(host) if "job-travel" in path or path.endswith(".prom")] == []
    assert not host.file(f"/etc/systemd/system/{TIMER}").exists
    assert state(host, TIMER, "LoadState") == "not-found"
    assert (state(host, STATUS_TIMER), state(host, STATUS_TIMER, "UnitFileState")) == ("inactive", "disabled")
    assert host.run("blksync check-config").stdout.count("is valid") == 2
    assert host.service("blksync@home.timer").is_running
    assert "SYSTEMD_WANTS" not in host.check_output("cat /etc/udev/rules.d/9*-blksync*.rules")


def test_absent_in_check_mode_removes_nothing(host: Host) -> None:
    before = traces(host)
    assert changed_tasks(apply(check=True, backup_disk_state="absent"))
    assert traces(host) == before


def test_absent_leaves_only_the_history_and_the_records(host: Host) -> None:
    assert changed_tasks(apply(backup_disk_state="absent"))
    assert traces(host) == {"/var/lib/blksync"}
    assert sorted(host.file("/var/lib/blksync").listdir()) == ["disks", "history.jsonl", "history.lock"]
    assert len(host.file("/var/lib/blksync/disks").listdir()) == 2
    assert host.check_output("systemctl list-units --all --no-legend --plain 'blksync*'") == ""
    assert changed_tasks(apply(backup_disk_state="absent")) == []
