# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host machine offers for running virtual machines, and what it lacks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

QEMU = "qemu-system-x86_64"

UEFI_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
UEFI_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
BIOS_BOOT_CODE = {"dos": Path("/usr/lib/SYSLINUX/mbr.bin"), "gpt": Path("/usr/lib/SYSLINUX/gptmbr.bin")}

# program or file -> Debian package that brings it (all of them are listed in tests/tooling/apt-packages-vm.txt)
PROGRAMS = {
    QEMU: "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "cryptsetup": "cryptsetup-bin",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "ssh": "openssh-client",
}
FILES = {UEFI_CODE: "ovmf", BIOS_BOOT_CODE["dos"]: "syslinux-common"}


class CommandError(RuntimeError):
    """A program on the host failed; the text holds its argument vector and its output."""


def missing() -> list[str]:
    """Return why no virtual machine can be built and run here, one reason a line; empty when it can."""
    reasons = [
        f"{name} is missing (Debian package {package})" for name, package in PROGRAMS.items() if not _which(name)
    ]
    reasons += [f"{path} is missing (Debian package {package})" for path, package in FILES.items() if not path.exists()]
    if os.geteuid() != 0:
        reasons.append("not root (a Debian tree with its owners and modes is built)")
    return reasons


def run(*argv: str | Path, input: str | None = None, timeout: float = 600) -> str:
    """Run a program, return its standard output; raise CommandError with all its output when it fails.

    Whatever ends the wait before the program has ended, also Ctrl-C, ends it and all that it started.
    """
    words = [str(word) for word in argv]
    words[0] = _which(words[0]) or words[0]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            output, errors = program.communicate(input, timeout)
        except BaseException:
            os.killpg(program.pid, signal.SIGTERM)
            raise
    if program.returncode != 0:
        raise CommandError(f"{' '.join(words)} ended with {program.returncode}:\n{output}{errors}"[-6000:])
    return output


def _which(name: str) -> str | None:
    """Find a program also in the sbin directories, which an ordinary PATH may not hold."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
