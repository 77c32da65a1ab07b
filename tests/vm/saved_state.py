# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running machine kept on disk: memory, devices and disks; a restored one answers within seconds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from .disk import overlay
from .hardware import Hardware, UsbDisk, as_json
from .machine import Machine
from .waiting import wait_for


def save(machine: Machine, directory: Path) -> None:
    """Keep the running machine in `directory` and end it. Its disk images must lie in that directory: they become part.

    The directory may be renamed afterwards: nothing in it names its own path.
    """
    machine.ssh.close()  # or the guest would wait for a client that is gone
    with machine.qmp() as qmp:
        qmp.execute("stop")
        qmp.execute("migrate-set-parameters", max_bandwidth=1 << 40)
        qmp.execute("migrate", uri=f"exec:cat > {directory}/memory")
        status = wait_for("the state written", lambda: _ended(qmp.execute("query-migrate")), 120)
        if status != "completed":
            raise RuntimeError(f"saving {machine.directory.name}: {status}")
    disks = [replace(disk, image=Path(disk.image.name)) for disk in machine.disks]
    (directory / "state.json").write_text(json.dumps({**as_json(machine.hardware, disks), "key": str(machine.key)}))
    if machine.files.variables.exists():
        shutil.copy(machine.files.variables, directory / "variables")
    machine.kill()


def restore(saved: Path, directory: Path) -> Machine:
    """Continue the machine kept in `saved` as a new one in `directory`, on fresh overlays of its disks."""
    directory.mkdir(parents=True, exist_ok=True)
    state = json.loads((saved / "state.json").read_text())
    disks = [UsbDisk.from_dict(disk) for disk in state["disks"]]
    disks = [replace(disk, image=overlay(saved / disk.image, directory / f"{disk.name}.qcow2")) for disk in disks]
    machine = Machine(directory, Hardware(**state["hardware"]), Path(state["key"]), disks)
    machine.start(saved / "memory", saved / "variables")
    with machine.qmp() as qmp:
        wait_for("the state loaded", lambda: qmp.execute("query-status")["status"] != "inmigrate", 60, every=0.05)
        qmp.execute("cont")
    machine.wait_ssh()
    machine.set_clock()
    return machine


def _ended(migration: dict[str, str]) -> str | None:
    """Return how the migration ended, None while it runs."""
    status = migration.get("status", "none")
    return status if status in ("completed", "failed", "cancelled") else None
