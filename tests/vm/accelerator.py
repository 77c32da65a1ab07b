# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM or software emulation: decided by a boot that succeeds. A /dev/kvm can be there and not work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .cache import cached, content_key
from .disk import assemble, disk_identifier, main_partitions
from .hardware import Accelerator, Hardware, UsbDisk
from .host import QEMU, CommandError, run
from .image import SystemImage, build_image
from .machine import Machine, MachineDied

KVM_BOOT_LIMIT = 45  # with KVM that works a boot takes less than ten seconds


def accelerator() -> Accelerator:
    """Return $BLKSYNC_VM_ACCEL if set, else what works here; the answer of the test boot is kept in the cache."""
    wanted = os.environ.get("BLKSYNC_VM_ACCEL")
    if wanted:
        return "kvm" if wanted == "kvm" else "tcg"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    image = build_image("none")  # always the same, and one that asks for no passphrase
    key = content_key(image.content, run(QEMU, "--version"), run("uname", "-r"))
    answer = cached("accelerator", key, lambda directory: _try_kvm(image, directory))
    return "kvm" if (answer / "kvm").exists() else "tcg"


def _try_kvm(image: SystemImage, directory: Path) -> None:
    """Boot with KVM and leave the file `kvm` in the directory if root could log in."""
    disk = assemble(directory / "main.raw", "dos", disk_identifier(1, "dos"), 1024, main_partitions(image))
    machine = Machine(
        directory / "run",
        Hardware("bios", accelerator="kvm"),
        image.key,
        [UsbDisk("main", disk, "MAINDISK0001", port=1, boot=0)],
    )
    try:
        machine.start()
        machine.wait_ssh(KVM_BOOT_LIMIT)
        (directory / "kvm").touch()
    except (CommandError, MachineDied, TimeoutError) as reason:
        (directory / "why-not").write_text(str(reason))
    finally:
        machine.kill()
    disk.unlink()
    shutil.rmtree(directory / "run")
