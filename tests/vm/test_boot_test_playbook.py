# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that tries a backup disk in a throw-away machine, with this host as the workstation."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.ansible import run_playbook

from .host import CommandError, run
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIABLES = {"blksync_hosts": "localhost", "boot_test_memory": 1024, "boot_test_accelerator": "tcg"}


@contextmanager
def attached(image: Path) -> Iterator[str]:
    """Attach an image as a loop device with its partitions."""
    try:
        device = run("losetup", "--find", "--show", image).strip()
    except CommandError as error:
        pytest.skip(f"no loop devices here: {error}")
    try:
        run("partx", "--add", device)
        yield device
    finally:
        run("partx", "--delete", device)
        run("losetup", "--detach", device)


@pytest.mark.full
def test_disk_that_boots(vm_host: None, tmp_path: Path) -> None:
    image = Scene().main_disk(tmp_path).image
    before = hashlib.sha256(image.read_bytes()).digest()
    with attached(image) as device:
        run_ = run_playbook("blksync.backup.boot_test_backup_disk", {**VARIABLES, "blksync_target": device})
    assert run_.returncode == 0, run_.output
    assert " boots." in run_.output
    assert "cryptsetup: cryptroot: set up successfully" in run_.output
    assert hashlib.sha256(image.read_bytes()).digest() == before, "the disk was written to"


@pytest.mark.full
def test_disk_that_does_not_boot(vm_host: None, tmp_path: Path) -> None:
    image = Scene().backup_disk(tmp_path).image
    impatient = {**VARIABLES, "boot_test_firmware": "bios", "boot_test_sign": "console", "boot_test_timeout": 15}
    with attached(image) as device:
        run_ = run_playbook("blksync.backup.boot_test_backup_disk", {**impatient, "blksync_target": device})
    assert run_.returncode != 0
    assert "did not print the marker" in run_.output
