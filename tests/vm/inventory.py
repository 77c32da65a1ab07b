# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible inventory of one machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine
    from .scene import Scene

HOST = "workstation"


def write_inventory(path: Path, machine: Machine, scene: Scene) -> Path:
    """Write the inventory with the machine as `workstation` and return its path; JSON is YAML too.

    The identifiers of the two disks, and the links to all that are plugged in, come along as variables.
    """
    variables: dict[str, Any] = {
        "ansible_host": "127.0.0.1",
        "ansible_port": machine.port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(machine.key),
        "ansible_ssh_common_args": " ".join(machine.ssh.options()),
        "ansible_python_interpreter": "/usr/bin/python3",
        "main_disk_id": scene.main_id,
        "backup_disk_id": scene.backup_id,
        **{f"{disk.name}_disk": disk.by_id for disk in machine.disks},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"all": {"hosts": {HOST: variables}}}, indent=2) + "\n")
    return path
