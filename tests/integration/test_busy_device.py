# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that is mounted in another mount namespace only: the message says where, since no table of mounts does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from blksync.errors import DeviceBusyError
from blksync.system import device
from tests.support.disks import MIB, LoopDevice, run

pytestmark = pytest.mark.needs("root", "loop-devices", "mkfs.ext4", "unshare")
PROGRAM = 'mount "$1" "$2"; echo ready; read end'


def test_a_mount_in_another_namespace_is_named(tmp_path: Path) -> None:
    with LoopDevice(16 * MIB) as disk:
        run("mkfs.ext4", "-q", disk.path)
        argv = ["unshare", "--mount", "sh", "-ec", PROGRAM, "sh", disk.path, str(tmp_path)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin
            assert holder.stdout
            try:
                assert holder.stdout.readline() == "ready\n"
                with pytest.raises(DeviceBusyError) as caught:
                    device.claim_target(disk.path, disk.devno)
                namespace = f"the mount namespace of process {holder.pid} (sh)"
                assert f"It is mounted at {tmp_path} in {namespace}." in caught.value.hint
                run(*f"nsenter --mount --target {holder.pid} umount {tmp_path}".split())
                assert f"nsenter --mount --target {holder.pid} umount {tmp_path}" in caught.value.hint
                device.claim_target(disk.path, disk.devno).close()
            finally:
                holder.stdin.close()


def test_another_claim_is_not_taken_for_a_mount() -> None:
    with LoopDevice(16 * MIB) as disk:
        claimed = device.claim_target(disk.path, disk.devno)
        try:
            with pytest.raises(DeviceBusyError) as caught:
                device.claim_target(disk.path, disk.devno)
        finally:
            claimed.close()
    assert caught.value.hint.startswith("Another program or a device stacked on it has claimed it")
