# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module disk_info through real Ansible on real block devices."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ansible import oldest_python, run_playbook
from tests.support.disks import MIB, SECTOR, PartitionedDisk, run
from tests.tooling.paths import ROOT
from tests.tooling.pythons import find_pythons

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SIZES = (4 * MIB // SECTOR, 8 * MIB // SECTOR)


@dataclass
class Scene:
    """Two disks, MBR and GPT, and the module's answers about them.

    ``directory`` is where the first disk's second partition is mounted; its name is no UTF-8.
    """

    first: PartitionedDisk
    second: PartitionedDisk
    directory: bytes
    answers: dict[str, dict[str, Any]]


def ask(directory: Path, questions: dict[str, Any], **options: Any) -> dict[str, dict[str, Any]]:
    """The module's result for each value of its option, by name; None leaves the option out."""
    tasks = [
        {
            "name": name,
            "blksync.backup.disk_info": {} if value is None else {"disks": value},
            "ignore_errors": True,
        }
        for name, value in questions.items()
    ]
    play = {"name": "Ask", "hosts": "localhost", "gather_facts": False, "tasks": tasks}
    playbook = directory / "play.yml"
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    run = run_playbook(playbook, **options)
    return {task.task: {**task.result, "failed": task.status == "failed"} for task in run.tasks}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Ask once for all tests: Ansible takes long to start."""
    tmp_path = tmp_path_factory.mktemp("disk_info")
    with ExitStack() as cleanup:
        first = cleanup.enter_context(PartitionedDisk("f" + uuid.uuid4().hex[:7], SIZES))
        second = cleanup.enter_context(PartitionedDisk(str(uuid.uuid4()), SIZES, "gpt"))
        directory = os.fsencode(tmp_path) + b"/caf\xe9 of mine"
        run("mkfs.ext4", "-q", "-L", "system", first.partition(2))
        os.mkdir(directory)
        run("mount", "-o", "ro", first.partition(2), os.fsdecode(directory))
        cleanup.callback(run, "umount", os.fsdecode(directory))
        questions = {
            "two": [second.identifier.upper(), "0x" + first.identifier],
            "one": first.identifier,
            "kernel name": [first.path],
            "partition": [first.partition(2)],
            "nothing": ["serial:no such disk"],
            "number in a list": ["22222222", 0o1234567],
            "single number": 0x11111111,
        }
        answers = ask(tmp_path, questions)
        answers.update(ask(tmp_path, {"all": None}, check=True))
        yield Scene(first, second, directory, answers)


def documented(contains: dict[str, Any]) -> dict[str, Any]:
    """The keys that RETURN promises, those of lists of dicts below them."""
    return {key: documented(value["contains"]) if "contains" in value else None for key, value in contains.items()}


def returned(item: dict[str, Any], promise: dict[str, Any]) -> dict[str, Any]:
    """The keys of a result, those of the first of a list of dicts below them; what is empty shows nothing."""
    found: dict[str, Any] = {}
    for key, value in item.items():
        deep = isinstance(value, list) and value and isinstance(value[0], dict)
        found[key] = returned(value[0], promise.get(key) or {}) if deep else promise.get(key)
    return found


def test_all_disks_in_check_mode(scene: Scene) -> None:
    result = scene.answers["all"]
    assert not result["failed"]
    assert not result["changed"]
    found = {disk["ptuuid"]: disk for disk in result["disks"]}
    for disk, table in ((scene.first, "dos"), (scene.second, "gpt")):
        facts = found[disk.identifier]
        assert (facts["path"], facts["size"], facts["table"]) == (disk.path, disk.size, table)
        assert facts["backing_file"] == str(disk.file)
        assert [(part["number"], part["path"], part["size"]) for part in facts["partitions"]] == [
            (number, disk.partition(number), size * SECTOR) for number, size in enumerate(SIZES, 1)
        ]


def test_filter_keeps_its_order_and_takes_a_list_or_one(scene: Scene) -> None:
    assert [disk["path"] for disk in scene.answers["two"]["disks"]] == [scene.second.path, scene.first.path]
    assert [disk["path"] for disk in scene.answers["one"]["disks"]] == [scene.first.path]
    assert "warnings" not in scene.answers["two"]


def test_kernel_name_works_with_a_warning(scene: Scene) -> None:
    result = scene.answers["kernel name"]
    assert [disk["ptuuid"] for disk in result["disks"]] == [scene.first.identifier]
    (warning,) = result["warnings"]
    assert scene.first.path in warning


def test_what_is_mounted_where(scene: Scene) -> None:
    part = scene.answers["one"]["disks"][0]["partitions"][1]
    assert (part["fstype"], part["label"], part["swap"], part["holders"]) == ("ext4", "system", False, [])
    mountpoint = scene.directory.decode("utf-8", "backslashreplace")
    assert part["mounts"] == [{"mountpoint": mountpoint, "root": "/", "fstype": "ext4", "read_only": True}]


def test_returned_as_documented(scene: Scene) -> None:
    source = (ROOT / "plugins/modules/disk_info.py").read_text(encoding="utf-8")
    promise = documented(yaml.safe_load(source.split('RETURN = r"""')[1].split('"""')[0])["disks"]["contains"])
    disk = dict(scene.answers["one"]["disks"][0])
    part = disk["partitions"][1]
    disk.update(partitions=[part], mounts=part["mounts"])
    found = returned(disk, promise)
    assert found["holders"] == found["partitions"]["holders"] == promise["holders"]
    assert found == promise


@pytest.mark.parametrize(("question", "number"), [("single number", "286331153"), ("number in a list", "342391")])
def test_a_number_is_refused(scene: Scene, question: str, number: str) -> None:
    result = scene.answers[question]
    assert (result["failed"], result["kind"]) == (True, "invalid_request")
    assert number in result["msg"]
    assert "quote it" in result["msg"]


def test_no_such_disk_lists_the_candidates(scene: Scene) -> None:
    result = scene.answers["nothing"]
    assert (result["failed"], result["kind"]) == (True, "disk_not_found")
    for disk in (scene.first, scene.second):
        assert disk.path in result["msg"]
        assert disk.identifier in result["msg"]
        assert "%.1f MiB" % (disk.size / MIB) in result["msg"]


def test_a_partition_is_no_disk(scene: Scene) -> None:
    result = scene.answers["partition"]
    assert (result["failed"], result["kind"]) == (True, "invalid_request")
    assert "is partition 2 of %s" % scene.first.path in result["msg"]
    assert result["hint"] in result["msg"]


def test_two_disks_of_one_identifier_are_ambiguous(scene: Scene, tmp_path: Path) -> None:
    with PartitionedDisk(scene.first.identifier, SIZES) as clone:
        result = ask(tmp_path, {"ask": [scene.first.identifier]})["ask"]
        assert (result["failed"], result["kind"]) == (True, "disk_ambiguous")
        assert scene.first.path + " " in result["msg"]
        assert clone.path + " " in result["msg"]
        assert scene.second.path + " " not in result["msg"]


def test_oldest_python_of_a_managed_host(scene: Scene, tmp_path: Path) -> None:
    interpreter = find_pythons().get(oldest_python())
    if not interpreter:
        pytest.skip("needs python" + oldest_python())
    result = ask(tmp_path, {"ask": [scene.second.identifier]}, interpreter=interpreter)["ask"]
    assert result["disks"] == [disk for disk in scene.answers["two"]["disks"] if disk["path"] == scene.second.path]
