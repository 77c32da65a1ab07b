# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for Molecule and for trying things by hand.

    python -m tests.vm create NAME [--inventory FILE] [--scene uefi/dos/keyfile]
    python -m tests.vm ssh NAME COMMAND
    python -m tests.vm unplug|plug NAME DISK
    python -m tests.vm destroy NAME

A machine is kept in the cache directory under its name, and runs until it is destroyed. Its disks are main, backup
and, not plugged in at first, second: another backup disk.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from .cache import cache_dir
from .hardware import UsbDisk
from .host import missing
from .inventory import write_inventory
from .machine import Machine
from .scene import Scene


def create(directory: Path, scene: Scene, inventory: Path | None) -> None:
    """Start a machine in the scene and write its inventory."""
    destroy(directory)
    machine = scene.running(directory)
    _keep_unplugged(machine, scene.second_backup_disk(directory))
    if inventory:
        write_inventory(inventory, machine, scene)


def destroy(directory: Path) -> None:
    """End the machine, if there is one, and remove it."""
    machine = Machine.load(directory)
    if machine:
        machine.kill()
    shutil.rmtree(directory, ignore_errors=True)


def unplug(machine: Machine, name: str) -> None:
    """Pull a disk out and note what it was."""
    _keep_unplugged(machine, machine.unplug(name))


def plug(machine: Machine, name: str) -> None:
    """Plug a disk in; udev and what it starts are not waited for."""
    note = _note(machine, name)
    machine.plug(UsbDisk.from_dict(json.loads(note.read_text())), wait=False)
    note.unlink()


def _keep_unplugged(machine: Machine, disk: UsbDisk) -> None:
    _note(machine, disk.name).write_text(json.dumps({**asdict(disk), "image": str(disk.image)}))


def _note(machine: Machine, name: str) -> Path:
    return machine.directory / f"{name}.unplugged"


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "destroy", "ssh", "unplug", "plug"):
        command = commands.add_parser(name)
        command.add_argument("name")
        if name == "create":
            command.add_argument("--inventory", type=Path)
            command.add_argument("--scene", default="", help="firmware/partition table/unlock, as in uefi/dos/keyfile")
        elif name == "ssh":
            command.add_argument("shell", nargs="+")
        elif name != "destroy":
            command.add_argument("disk")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Do what the arguments say and return the exit status."""
    arguments = parse(argv)
    directory = cache_dir() / "machines" / arguments.name
    if arguments.command == "destroy":
        destroy(directory)
        return 0
    if arguments.command == "create":
        reasons = missing()
        if not reasons:
            create(directory, Scene.parse(arguments.scene), arguments.inventory)
        return _say(reasons)
    machine = Machine.load(directory)
    if machine is None:
        return _say([f"there is no machine {arguments.name}"])
    if arguments.command == "ssh":
        done = machine.ssh.attempt(" ".join(arguments.shell))
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode
    (plug if arguments.command == "plug" else unplug)(machine, arguments.disk)
    return 0


def _say(reasons: list[str]) -> int:
    for reason in reasons:
        print(reason, file=sys.stderr)
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
