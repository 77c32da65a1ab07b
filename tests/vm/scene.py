# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene that nearly every scenario starts in: a system running from its main disk, the backup disk plugged in."""

from __future__ import annotations

import random
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .accelerator import accelerator
from .cache import cached, content_key, source_key
from .disk import THIRD_MIB, Label, assemble, backup_partitions, disk_identifier, main_partitions
from .hardware import Firmware, Hardware, UsbDisk
from .host import QEMU, run
from .image import MIB, PASSPHRASE, Unlock, build_image
from .machine import Machine
from .saved_state import restore, save

MAIN_MIB, BACKUP_MIB = 1024, 1200


@dataclass(frozen=True)
class Scene:
    """What varies: boot firmware, partition table of both disks, how the root partition is unlocked."""

    firmware: Firmware = "uefi"
    label: Label = "dos"
    unlock: Unlock = "keyfile"

    @classmethod
    def parse(cls, text: str) -> Scene:
        """Return the scene that a text such as uefi/dos/keyfile names; parts left out have their defaults."""
        parts = dict(zip(("firmware", "label", "unlock"), text.split("/"), strict=False)) if text else {}
        known = {"firmware": ("uefi", "bios"), "label": ("dos", "gpt"), "unlock": ("none", "keyfile", "passphrase")}
        for name, value in parts.items():
            if value not in known[name]:
                raise ValueError(f"{text!r}: {name} is one of {', '.join(known[name])}")
        return cls(**parts)  # type: ignore[arg-type]

    @property
    def main_id(self) -> str:
        """Disk identifier (PTUUID) of the main disk."""
        return disk_identifier(1, self.label)

    @property
    def backup_id(self) -> str:
        """Disk identifier (PTUUID) of the backup disk."""
        return disk_identifier(2, self.label)

    @property
    def passphrase(self) -> str | None:
        """What has to be typed on the console at boot, if anything."""
        return PASSPHRASE if self.unlock == "passphrase" else None

    def main_disk(self, directory: Path) -> UsbDisk:
        """Make a main disk that boots."""
        image = assemble(
            directory / "main.raw", self.label, self.main_id, MAIN_MIB, main_partitions(build_image(self.unlock))
        )
        return UsbDisk("main", image, "MAINDISK0001", port=1, boot=0)

    def empty_main_disk(self, directory: Path) -> UsbDisk:
        """Make a new main disk: the partitions are there, and empty."""
        empty = [replace(p, content=None) for p in main_partitions(build_image(self.unlock))]
        image = assemble(directory / "fresh.raw", self.label, self.main_id, MAIN_MIB, empty)
        return UsbDisk("fresh", image, "MAINDISK0003", port=3)

    def backup_disk(self, directory: Path, old_copy: bool = False) -> UsbDisk:
        """Make a backup disk: two partitions of the right sizes and a third one full of data of its own.

        The two are empty, or with `old_copy` as a sync before the system's first start would have left them.
        """
        third = directory / "third.raw"
        third.write_bytes(third_partition_data())
        partitions = backup_partitions(third)
        if old_copy:
            copies = [p.content for p in main_partitions(build_image(self.unlock))]
            partitions[:2] = [replace(p, content=c) for p, c in zip(partitions[:2], copies, strict=True)]
        image = assemble(directory / "backup.raw", self.label, self.backup_id, BACKUP_MIB, partitions)
        third.unlink()
        return UsbDisk("backup", image, "BACKUPDISK0002", port=2, boot=1)

    def second_backup_disk(self, directory: Path) -> UsbDisk:
        """Make a backup disk that takes turns with the first one; its partitions are empty."""
        identifier = disk_identifier(3, self.label)
        image = assemble(directory / "second.raw", self.label, identifier, BACKUP_MIB, backup_partitions())
        return UsbDisk("second", image, "BACKUPDISK0004", port=4)

    def cold_machine(self, directory: Path, *disks: UsbDisk) -> Machine:
        """Start a machine of this kind from its disks and return at once (`wait_ssh` comes next)."""
        image = build_image(self.unlock)
        machine = Machine(directory, self._hardware(), image.key, list(disks))
        machine.start()
        return machine

    def running(self, directory: Path) -> Machine:
        """Return a machine in this scene within seconds, restored from a state that is made once."""
        image = build_image(self.unlock)
        made_from = [
            image.content,
            asdict(self),
            asdict(self._hardware()),
            run(QEMU, "--version"),
            source_key("hardware.py", "disk.py", "scene.py"),
        ]
        kind = f"state-{self.firmware}-{self.label}-{self.unlock}"
        return restore(cached(kind, content_key(*made_from), self._save_running), directory)

    def _hardware(self) -> Hardware:
        return Hardware(self.firmware, accelerator=accelerator())

    def _save_running(self, directory: Path) -> None:
        """Boot, wait until the system has come to rest, and keep it."""
        machine = self.cold_machine(directory / "run", self.main_disk(directory), self.backup_disk(directory))
        try:
            machine.wait_ssh(passphrase=self.passphrase)
            machine.ssh.run("systemctl is-system-running --wait; sync")
            save(machine, directory)
        finally:
            machine.kill()
        shutil.rmtree(directory / "run")


def third_partition_data() -> bytes:
    """Return what the third partition of the backup disk holds, always the same."""
    return random.Random(22).randbytes(THIRD_MIB * MIB)
