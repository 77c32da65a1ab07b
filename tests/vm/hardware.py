# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine consists of, and the QEMU command line and QMP arguments that say so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .host import QEMU, UEFI_CODE

Firmware = Literal["uefi", "bios"]
Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class UsbDisk:
    """A disk on the USB 3 controller.

    name: our name of it; image: a raw or qcow2 file, or the socket (.nbd) of something that serves the disk; serial:
    what the guest sees; port: 1 to 4; boot: the place in the firmware's boot order (None: not booted from).
    """

    name: str
    image: Path
    serial: str
    port: int
    boot: int | None = None

    @property
    def by_id(self) -> str:
        """The stable name of the disk in the guest; -part1 and so on follow it."""
        return f"/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_{self.serial}-0:0"

    def block_node(self) -> dict[str, Any]:
        """Return the arguments of blockdev-add.

        The guest's flushes reach the image file, so that a killed machine is a power cut and not a broken image;
        only the host's own fsync is spared.
        """
        if self.image.suffix == ".nbd":
            server = {"type": "unix", "path": str(self.image)}
            return {"driver": "nbd", "server": server, "node-name": self.name}
        file = {"driver": "file", "filename": str(self.image.resolve()), "cache": {"no-flush": True}}
        return {"driver": "qcow2" if self.image.suffix == ".qcow2" else "raw", "file": file, "node-name": self.name}

    def device(self) -> dict[str, Any]:
        """Return the arguments of device_add."""
        device = {
            "driver": "usb-storage",
            "id": self.device_id,
            "drive": self.name,
            "serial": self.serial,
            "bus": "xhci.0",
            "port": str(self.port),
            "removable": True,
        }
        return device if self.boot is None else {**device, "bootindex": self.boot}

    @property
    def device_id(self) -> str:
        """QEMU's name of the device, as opposed to the image behind it."""
        return f"{self.name}-device"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UsbDisk:
        """Return the disk that `asdict` once turned into JSON."""
        return cls(**{**values, "image": Path(values["image"])})


@dataclass(frozen=True)
class Hardware:
    """A machine without its disks: boot firmware, memory in MiB, processors, how QEMU runs its instructions."""

    firmware: Firmware = "uefi"
    memory: int = 1024
    cpus: int = 2
    accelerator: Accelerator = "tcg"


@dataclass(frozen=True)
class Files:
    """The files of one running machine; the sockets live apart, since their paths must stay under 108 bytes."""

    directory: Path
    sockets: Path

    @property
    def variables(self) -> Path:
        """UEFI variables, fresh for every machine: the removable-media path must do."""
        return self.directory / "uefi-variables.fd"

    @property
    def console_log(self) -> Path:
        """Everything that the guest wrote on its serial console."""
        return self.directory / "console.log"

    @property
    def pid(self) -> Path:
        """Process id of QEMU."""
        return self.directory / "qemu.pid"

    @property
    def qmp(self) -> Path:
        """QEMU's machine protocol."""
        return self.sockets / "qmp"

    @property
    def console(self) -> Path:
        """The serial console, for typing."""
        return self.sockets / "console"

    @property
    def ssh_control(self) -> Path:
        """The kept SSH connection."""
        return self.sockets / "ssh"


def command_line(hardware: Hardware, disks: list[UsbDisk], files: Files, port: int, incoming: Path | None) -> list[str]:
    """Return QEMU's argument vector; `incoming` is a saved state to continue from, `port` leads to the guest's SSH."""
    cpu = "host" if hardware.accelerator == "kvm" else "Nehalem"  # TCG starts 7 s sooner with it than with "max"
    argv = [
        QEMU,
        "-name",
        files.directory.name,
        "-machine",
        "q35",
        "-accel",
        hardware.accelerator,
        "-cpu",
        cpu,
        "-smp",
        str(hardware.cpus),
        "-m",
        str(hardware.memory),
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-device",
        "virtio-rng-pci",
        "-device",
        "qemu-xhci,id=xhci",
        "-netdev",
        f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device",
        "virtio-net-pci,netdev=net,romfile=",
        "-chardev",
        f"socket,id=console,path={files.console},server=on,wait=off,logfile={files.console_log}",
        "-serial",
        "chardev:console",
        "-qmp",
        f"unix:{files.qmp},server=on,wait=off",
        "-pidfile",
        str(files.pid),
        "-daemonize",
    ]
    if hardware.firmware == "uefi":
        argv += [
            "-drive",
            f"if=pflash,unit=0,format=raw,readonly=on,file={UEFI_CODE}",
            "-drive",
            f"if=pflash,unit=1,format=raw,file={files.variables}",
        ]
    for disk in disks:
        argv += ["-blockdev", json.dumps(disk.block_node()), "-device", json.dumps(disk.device())]
    return argv + (["-incoming", f"exec:cat {incoming}"] if incoming else [])


def as_json(hardware: Hardware, disks: list[UsbDisk]) -> dict[str, Any]:
    """Return both as JSON can hold them; Hardware(**...) and UsbDisk.from_dict read it back."""
    return {"hardware": asdict(hardware), "disks": [{**asdict(d), "image": str(d.image)} for d in disks]}
