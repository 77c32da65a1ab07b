# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of one test or one scenario, all ended together."""

from __future__ import annotations

import shutil
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .hardware import UsbDisk
    from .machine import Machine
    from .scene import Scene


class Machines:
    """Starts machines in numbered directories below `directory`; at the end of the `with` all are ended and removed."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._machines: list[Machine] = []

    def __enter__(self) -> Machines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self._machines:
            machine.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def running(self, scene: Scene) -> Machine:
        """Return a machine that runs in the scene, restored from its saved state."""
        return self._keep(scene.running(self._next_dir()))

    def boot(self, scene: Scene, *disks: UsbDisk) -> Machine:
        """Boot a machine from these disks and wait until root can log in."""
        machine = self._keep(scene.cold_machine(self._next_dir(), *disks))
        machine.wait_ssh(passphrase=scene.passphrase)
        return machine

    def _next_dir(self) -> Path:
        directory = self.directory / f"machine{len(self._machines) + 1}"
        directory.mkdir(parents=True)
        return directory

    def _keep(self, machine: Machine) -> Machine:
        self._machines.append(machine)
        return machine
