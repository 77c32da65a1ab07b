# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and labels that are no UTF-8, through real Ansible and the command: a finished copy is reported as one."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ansible import run_module
from tests.support.command import Command
from tests.support.disks import MIB, SECTOR, PartitionedDisk, run
from tests.tooling.paths import ROOT

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")
NAME = os.fsdecode(b"caf\xe9 \xff\x01\x1b[7m")  # \n and the like: losetup cannot show them
SHOWN = r"caf\xe9 \xff\x01\x1b[7m"
SIZES = (4 * MIB // SECTOR, 16 * MIB // SECTOR)


@dataclass
class Scene:
    """Two disks in a directory of that name; the source's second partition is mounted on another of that name."""

    source: PartitionedDisk
    target: PartitionedDisk
    mountpoint: str

    @property
    def disks(self) -> dict[str, str]:
        return {"source": self.source.identifier, "target": self.target.identifier}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    directory = tmp_path / NAME
    directory.mkdir()
    with ExitStack() as cleanup:
        names = (uuid.uuid4().hex[:8] for _turn in range(2))
        source, target = (cleanup.enter_context(PartitionedDisk(name, SIZES, directory=directory)) for name in names)
        run("mkfs.ext4", "-q", "-L", os.fsdecode(b"\xffabel \xfe"), source.partition(2))
        mountpoint = directory / NAME
        mountpoint.mkdir()
        run("mount", source.partition(2), str(mountpoint))
        cleanup.callback(run, "umount", str(mountpoint))
        yield Scene(source, target, str(mountpoint))


def test_disk_info_names_everything(scene: Scene) -> None:
    result = run_module("disk_info", {"disks": [scene.source.identifier]})
    (disk,) = result["disks"]
    assert disk["backing_file"] == str(scene.source.file).replace(NAME, SHOWN)
    (mounted,) = disk["partitions"][1]["mounts"]
    assert mounted["mountpoint"] == scene.mountpoint.replace(NAME, SHOWN)


def test_a_finished_copy_is_reported_as_success(scene: Scene) -> None:
    first = run_module("disk_sync", {**scene.disks, "quiesce": "freeze", "engine": "native"}, diff=True)
    assert (first["failed"], first["changed"]) == (False, True), first
    (entry,) = first["partitions"][1]["quiesce"]
    assert entry["mountpoints"] == [scene.mountpoint.replace(NAME, SHOWN)]


def test_a_refusal_arrives_with_its_reasons(scene: Scene) -> None:
    turned = {"source": scene.target.identifier, "target": scene.source.identifier}
    result = run_module("disk_sync", {**turned, "engine": "native"})
    assert result["kind"] == "refused", result
    assert SHOWN in result["msg"]
    assert [refusal["code"] for refusal in result["refusals"]] == ["target_mounted"]


def test_the_command_lists_and_syncs(scene: Scene, tmp_path: Path) -> None:
    command = Command(tmp_path)
    listed = {disk["ptuuid"]: disk for disk in command.json("disks")["disks"]}
    assert SHOWN in listed[scene.source.identifier]["backing_file"]
    assert SHOWN in command.run("disks").stdout
    command.put_job("bytes", scene.source.identifier, scene.target.identifier, quiesce="freeze")
    (outcome,) = command.json("sync", "bytes")["results"]
    assert (outcome["error"], outcome["changed"]) == (None, True)
    assert command.run("sync", "bytes").stdout.count(SHOWN) == 2  # directory and mount point, in one line
    assert [line["error_kind"] for line in command.history("bytes")] == [None, None]


def test_an_image_of_any_name_is_copied(scene: Scene, tmp_path: Path) -> None:
    image = tmp_path / NAME / ("image " + NAME)
    code = (
        "import sys; from blksync.sync import image_sync as image; from blksync.options import ImageRequest;"
        " print(image.run(ImageRequest(*sys.argv[1:], create=True, engine='native')).changed)"
    )
    path = "PYTHONPATH=%s" % (ROOT / "plugins" / "module_utils")
    done = run("env", path, sys.executable, "-c", code, scene.source.partition(1), str(image))
    assert done == "True\n"
    assert image.read_bytes() == Path(scene.source.partition(1)).read_bytes()
