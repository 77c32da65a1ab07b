# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the workstation must look like after the role, two copies by the playbook and one by plugging in."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.vm.image import ESP_SERIAL, LUKS_UUID
from tests.vm.scene import third_partition_data

if TYPE_CHECKING:
    from testinfra.host import Host

ESP_UUID = f"{ESP_SERIAL[:4]}-{ESP_SERIAL[4:]}"


@pytest.fixture(scope="module")
def disks(host: Host) -> dict[str, str]:
    """Kernel names of the two disks."""
    variables = host.ansible.get_variables()
    return {name: host.file(variables[f"{name}_disk"]).linked_to for name in ("main", "backup")}


def status(host: Host) -> dict[str, Any]:
    """Return what `blksync status` says of the job."""
    jobs = json.loads(host.check_output("blksync status --json"))["jobs"]
    return next(job for job in jobs if job["job"] == "travel")


def test_system_is_well(host: Host) -> None:
    assert host.check_output("systemctl is-system-running") == "running"
    assert host.service("blksync@travel.timer").is_enabled
    assert host.service("blksync@travel.timer").is_running
    assert host.check_output("systemctl show --property=Result --value blksync@travel.service") == "success"


def test_mounts_are_on_the_main_disk(host: Host, disks: dict[str, str]) -> None:
    assert host.mount_point("/boot/efi").device == f"{disks['main']}1"
    assert f"{disks['main']}2" in host.check_output(
        "lsblk --inverse --list --noheadings --paths -o NAME /dev/mapper/cryptroot"
    )


def test_nothing_of_the_copy_is_mounted_or_opened(host: Host, disks: dict[str, str]) -> None:
    assert host.check_output(f"lsblk --noheadings --output MOUNTPOINTS {disks['backup']}").strip() == ""
    assert "crypt" not in host.check_output(f"lsblk --noheadings --output TYPE {disks['backup']}")


@pytest.mark.parametrize(("uuid", "number"), [(ESP_UUID, 1), (LUKS_UUID, 2)])
def test_links_by_uuid_point_at_the_main_disk(host: Host, disks: dict[str, str], uuid: str, number: int) -> None:
    assert host.check_output(f"blkid -o value -s UUID {disks['backup']}{number}") == uuid, "it is a copy"
    assert host.file(f"/dev/disk/by-uuid/{uuid}").linked_to == f"{disks['main']}{number}"


@pytest.mark.parametrize("number", [1, 2])
def test_desktops_ignore_the_copy(host: Host, disks: dict[str, str], number: int) -> None:
    properties = host.check_output(f"udevadm info --query=property {disks['backup']}{number}").splitlines()
    assert "UDISKS_IGNORE=1" in properties


def test_third_partition_is_untouched(host: Host, disks: dict[str, str]) -> None:
    digest = host.check_output(f"sha256sum {disks['backup']}3").split()[0]
    assert digest == hashlib.sha256(third_partition_data()).hexdigest()


def test_history_has_the_runs_of_the_playbook_and_of_the_job(host: Host) -> None:
    runs = json.loads(host.check_output("blksync history --json"))["runs"]
    assert [(run["door"], run["job"]) for run in runs] == [("command", "travel"), ("module", ""), ("module", "")]
    assert all(run["changed"] for run in runs)
    assert [run["error_kind"] for run in runs] == [None] * 3


def test_plugging_in_started_the_job_once(host: Host) -> None:
    journal = host.check_output("journalctl --boot --unit blksync@travel.service --output cat")
    assert journal.count("Starting blksync@travel.service") == 1
    assert "copied live: " in journal
    assert "not copied live" not in journal
    assert "can be disconnected" in journal


def test_status_tells_of_the_run_after_plugging_in(host: Host) -> None:
    assert host.run("blksync status").rc == 0
    assert status(host)["good"]
    (disk,) = status(host)["disks"]
    assert (disk["state"], disk["stale"], disk["plugged_in"]) == ("complete", False, True)


def test_nothing_is_frozen(host: Host) -> None:
    for directory in ("/root", "/boot/efi"):
        assert (
            host.run(
                f"timeout 30 sh -c 'echo x > {directory}/probe && sync {directory}/probe && rm {directory}/probe'"
            ).rc
            == 0
        )


def test_copy_holds_the_file_that_changed_while_it_was_away(host: Host, disks: dict[str, str]) -> None:
    open_copy = f"cryptsetup open --readonly --key-file /etc/keys/root.key {disks['backup']}2 copy"
    try:
        assert host.run(open_copy).rc == 0
        assert "away" in host.check_output("debugfs -R 'cat /root/changed' /dev/mapper/copy 2>/dev/null")
        assert host.run("e2fsck -fn /dev/mapper/copy").rc == 0
    finally:
        host.run("cryptsetup close copy")
