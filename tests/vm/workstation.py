# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running system seen as its user sees it: synced by Ansible or by the command, loaded, looked at."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.ansible import run_module

from .cache import REPOSITORY
from .inventory import write_inventory

if TYPE_CHECKING:
    from .machine import Machine
    from .remote import Ssh
    from .scene import Scene

CORE = REPOSITORY / "plugins" / "module_utils" / "blksync"
PROGRAM = "import sys; from blksync.cli import main; sys.exit(main())"
DEPLOYED = "/usr/local/lib/under-test"
LOAD = """
n=0
while :; do
  n=$((n + 1))
  head -c 65536 /dev/urandom > /root/load.$((n % 20))
  echo $n > /root/load.new; sync -d /root/load.new; mv /root/load.new /root/load.count
  sleep 0.2
done
"""


@dataclass(frozen=True)
class Workstation:
    """One machine and the scene that it was started in."""

    machine: Machine
    scene: Scene

    @property
    def ssh(self) -> Ssh:
        """Root in the machine."""
        return self.machine.ssh

    def disk_sync(self, source: str, target: str, **options: Any) -> dict[str, Any]:
        """Run the module disk_sync from here by Ansible and return its result, with `failed`."""
        inventory = write_inventory(self.machine.directory / "inventory.yml", self.machine, self.scene)
        return run_module("disk_sync", {"source": source, "target": target, **options}, inventory=inventory)

    def deploy_core(self) -> None:
        """Put the core on the machine, compiled, so that runs do not pay for it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(CORE, "blksync", filter=lambda entry: None if "__pycache__" in entry.name else entry)
        unpack = f"mkdir -p {DEPLOYED} && tar -x -C {DEPLOYED} --no-same-owner && python3 -m compileall -q {DEPLOYED}"
        subprocess.run(self.ssh.argv(unpack), input=packed.getvalue(), check=True, capture_output=True)

    def deploy_blocksync_fast(self) -> str:
        """Put $BLOCKSYNC_FAST_BINARY, else this host's program, on the workstation; return why not, or nothing."""
        program = os.environ.get("BLOCKSYNC_FAST_BINARY") or shutil.which("blocksync-fast")
        if not program:
            return "no blocksync-fast is installed here, and none named by BLOCKSYNC_FAST_BINARY"
        copy = self.ssh.argv("cat > /usr/local/bin/blocksync-fast && chmod 755 /usr/local/bin/blocksync-fast")
        with Path(program).open("rb") as binary:
            subprocess.run(copy, stdin=binary, check=True, capture_output=True)
        trial = self.ssh.attempt(
            "cd /run && echo new > source && echo old > target && blocksync-fast -s source -d target"
        )
        if trial.returncode == 0:
            return ""
        self.ssh.run("rm /usr/local/bin/blocksync-fast")
        return f"{program} does not run on the emulated processor: {trial.stdout}{trial.stderr}".strip()

    def command(self, *words: str) -> str:
        """Return the shell command that runs the deployed `blksync` with these arguments."""
        return " ".join([f"PYTHONPATH={DEPLOYED} python3 -c {shlex.quote(PROGRAM)}", *words])

    def mounts(self) -> list[str]:
        """Return what is mounted where and how, kernel file systems apart; a restart may give disks other names."""
        options = "--noheadings --list --real --output TARGET,PARTUUID,FSTYPE,OPTIONS"
        return sorted(self.ssh.run(f"findmnt {options}").splitlines())

    def check_writable(self, *mount_points: str) -> None:
        """Write a file in each and flush it; RemoteError if that does not end, as on a frozen file system."""
        for mount_point in mount_points:
            probe = f"{mount_point.rstrip('/')}/probe"
            self.ssh.run(f"timeout 30 sh -c 'echo probe > {probe} && sync {probe} && rm {probe}'", timeout=60)

    def start_load(self) -> None:
        """Let something write to / without end; it counts its rounds in /root/load.count."""
        self.ssh.run("cat > /run/load.sh && systemd-run --quiet --unit=load sh /run/load.sh", input=LOAD)
        self.ssh.run("until [ -s /root/load.count ]; do sleep 0.1; done")

    def load_count(self) -> int:
        """Return how many rounds the load has finished and flushed."""
        return int(self.ssh.run("cat /root/load.count"))

    def lsblk(self, device: str, column: str) -> str:
        """Return one column of lsblk for a disk or partition."""
        return self.ssh.run(f"lsblk --nodeps --noheadings --output {column} {device}").strip()

    def disk_below(self, mount_point: str) -> str:
        """Return the identifier of the disk that a mounted file system is on, below any LUKS."""
        device = self.ssh.run(f"findmnt -no SOURCE {mount_point}").strip()
        parents = self.ssh.run(f"lsblk --inverse --list --noheadings --paths --output NAME,TYPE {device}")
        disk = next(line.split()[0] for line in parents.splitlines() if line.split()[1] == "disk")
        return self.lsblk(disk, "PTUUID")


def parse_json(text: str) -> dict[str, Any]:
    """Return the JSON object that the command printed."""
    parsed: dict[str, Any] = json.loads(text)
    return parsed
