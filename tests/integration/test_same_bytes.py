# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One disk or file in use under another device number or another path: it is the bytes that count."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from blksync.discovery import places
from blksync.discovery.model import Partition
from blksync.discovery.observe import beneath_path, observe
from blksync.errors import InvalidRequestError
from blksync.options import ImageRequest, SyncRequest
from blksync.quiesce.open_files import describe_users, is_written
from blksync.sync import disk_plan, endpoint, image_plan
from blksync.sync.plan import Plan
from tests.support.disks import MIB, SECTOR, PartitionedDisk, drop_partitions, run
from tests.support.quiesce_driver import DrivenQuiesce

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4")
SIZES = (8 * MIB // SECTOR, 32 * MIB // SECTOR)


class Scene:
    """A source whose second partition has a file system, and a target; what is made is undone at the end."""

    def __init__(self, directory: Path, cleanup: ExitStack) -> None:
        self.directory, self.cleanup = directory, cleanup
        names = (uuid.uuid4().hex[:8] for _turn in range(2))
        self.source, self.target = (cleanup.enter_context(PartitionedDisk(name, SIZES)) for name in names)
        run("mkfs.ext4", "-q", self.source.partition(2))

    def attach(self, path: str | Path, *options: str, partitions: bool = False) -> str:
        """One more loop device."""
        device = run("losetup", "-f", "--show", *options, str(path)).strip()
        self.cleanup.callback(run, "losetup", "-d", device)
        drop_partitions(device)
        if partitions:
            run("partx", "-a", device)
            self.cleanup.callback(drop_partitions, device)
        return device

    def mount(self, device: str | Path, name: str, *options: str) -> Path:
        """Mount a device, or a directory with --bind, on a new directory."""
        mountpoint = self.directory / name
        mountpoint.mkdir()
        run("mount", *options, str(device), str(mountpoint))
        self.cleanup.callback(run, "umount", str(mountpoint))
        return mountpoint

    def overlay(self, on: Path, name: str = "overlay") -> Path:
        """An overlay whose upper layer lies on ``on``, through a symbolic link."""
        link = self.directory / ("link to " + name)
        link.symlink_to(on)
        for layer in ("lower", "upper,1", "work"):
            (on / layer).mkdir()
        layers = "lowerdir=%s,upperdir=%s,workdir=%s" % (
            link / "lower",
            str(link / "upper,1").replace(",", "\\,"),
            link / "work",
        )
        return self.mount("overlay", name, "-t", "overlay", "-o", layers)

    def plan(self, **options: object) -> Plan:
        """What a sync of the two would do."""
        disks = {"source": self.source.path, "target": self.target.path}  # a second device has the same identifier
        return disk_plan.make(observe(), SyncRequest(**{**disks, "quiesce": "freeze", **options}))  # type: ignore[arg-type]

    def sync(self) -> dict:
        disks = {"source": self.source.path, "target": self.target.path}
        with DrivenQuiesce(**disks, engine="native", quiesce="freeze", unfreezable=("ext2",)) as driven:
            return driven.end()

    def assert_copied(self, mountpoint: Path) -> None:
        """The target's second partition has the same files."""
        copy = self.mount(self.target.partition(2), "copy", "-o", "ro,noload")
        run("diff", "-r", str(mountpoint), str(copy))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as cleanup:
        yield Scene(tmp_path, cleanup)


def start(disk: PartitionedDisk, number: int) -> int:
    """Where a partition begins on its disk, in bytes."""
    return int(Path("/sys/class/block", os.path.basename(disk.partition(number)), "start").read_text()) * SECTOR


def second_partition(scene: Scene, disk: PartitionedDisk | None = None) -> Partition:
    wanted = (disk or scene.source).devno
    found = next(each for each in observe().disks if each.devno == wanted).partition(2)
    assert found is not None
    return found


def over_disk(scene: Scene, disk: PartitionedDisk) -> str:
    """As "mount -o loop,offset=N" does it: up to the end of the disk."""
    return scene.attach(disk.path, "--offset", str(start(disk, 2)))


def over_disk_exactly(scene: Scene, disk: PartitionedDisk) -> str:
    return scene.attach(disk.path, "--offset", str(start(disk, 2)), "--sizelimit", str(SIZES[1] * SECTOR))


def over_disk_with_partitions(scene: Scene, disk: PartitionedDisk) -> str:
    return scene.attach(disk.path, partitions=True) + "p2"


def over_file(scene: Scene, disk: PartitionedDisk) -> str:
    return scene.attach(disk.file, "--offset", str(start(disk, 2)))


def over_hard_link(scene: Scene, disk: PartitionedDisk) -> str:
    link = disk.file.with_suffix(".link")
    os.link(disk.file, link)
    scene.cleanup.callback(link.unlink)
    return scene.attach(link, partitions=True) + "p2"


DOORS = [over_disk, over_disk_exactly, over_disk_with_partitions, over_file, over_hard_link]
Door = Callable[[Scene, PartitionedDisk], str]


@pytest.mark.parametrize("door", DOORS)
def test_a_source_in_use_by_another_device_is_frozen(scene: Scene, door: Door) -> None:
    device = door(scene, scene.source)
    mountpoint = scene.mount(device, "mounted")
    (mountpoint / "new").write_bytes(os.urandom(MIB))  # nobody has called sync(2)
    result = scene.sync()
    assert result["step"] == "done", result
    first, second = result["partitions"]
    assert first["quiesce"] == []
    assert [(entry["action"], entry["mountpoints"]) for entry in second["quiesce"]] == [("frozen", [str(mountpoint)])]
    scene.assert_copied(mountpoint)


@pytest.mark.parametrize("door", DOORS)
def test_a_target_in_use_by_another_device_is_refused(scene: Scene, door: Door) -> None:
    run("mkfs.ext4", "-q", scene.target.partition(2))
    mountpoint = scene.mount(door(scene, scene.target), "mounted")
    refusals = scene.plan().refusals
    assert {refusal.code for refusal in refusals} == {"target_held"}
    assert any(str(mountpoint) in refusal.message for refusal in refusals)


def test_a_mount_of_the_whole_disk_counts_for_its_partitions(scene: Scene) -> None:
    run("mkfs.ext4", "-q", "-F", scene.source.path)
    mountpoint = scene.mount(scene.source.path, "mounted")
    (holder,) = second_partition(scene).holders
    assert (holder.kind, [mount.mountpoint for mount in holder.mounts]) == ("disk", [str(mountpoint)])
    assert [[step.mountpoints for step in pair.quiesce.steps] for pair in scene.plan().pairs] == [
        [[str(mountpoint)]]
    ] * 2


def test_an_idle_loop_device_over_the_whole_source_is_no_use(scene: Scene) -> None:
    scene.attach(scene.source.path)
    assert second_partition(scene).holders == ()
    assert scene.plan().refusals == ()


def test_an_idle_second_device_of_the_target_is_refused(scene: Scene) -> None:
    device = scene.attach(scene.target.file)
    (refusal,) = scene.plan().refusals
    assert (refusal.code, device in refusal.message) == ("target_held", True)


def test_one_file_as_source_and_target_is_refused(scene: Scene) -> None:
    twin = scene.attach(scene.source.file, partitions=True)
    refused = disk_plan.make(observe(), SyncRequest(scene.source.path, twin, quiesce="freeze")).refusals
    assert "target_held" in {refusal.code for refusal in refused}


def test_a_sibling_partition_is_not_touched(scene: Scene) -> None:
    mountpoint = scene.mount(over_disk(scene, scene.source), "mounted")
    disk = next(each for each in observe().disks if each.devno == scene.source.devno)
    assert [[mount.mountpoint for mount in part.all_mounts()] for part in disk.partitions] == [[], [str(mountpoint)]]
    assert scene.plan(partitions=(1,)).pairs[0].quiesce.steps == ()


def symbolic_link(scene: Scene, image: Path) -> Path:
    link = scene.directory / "link"
    link.symlink_to(image)
    return link


def hard_link(scene: Scene, image: Path) -> Path:
    link = image.with_name("link")
    os.link(image, link)
    return link


def bind_mount(scene: Scene, image: Path) -> Path:
    return scene.mount(image.parent, "bound", "--bind") / image.name


def file_descriptor(scene: Scene, image: Path) -> Path:
    fd = os.open(image, os.O_RDONLY)
    scene.cleanup.callback(os.close, fd)
    return Path("/proc/%d/fd/%d" % (os.getpid(), fd))


def refused_image(source: str | Path, target: Path, **options: object) -> set[str]:
    """The codes of the refusals of a copy to an image file."""
    request = ImageRequest(str(source), str(target), quiesce="freeze", **options)  # type: ignore[arg-type]
    ends = (endpoint.look(str(source)), endpoint.look(str(target)))
    return {refusal.code for refusal in image_plan.make(observe(), *ends, request).refusals}


@pytest.mark.parametrize("path", [symbolic_link, hard_link, bind_mount, file_descriptor])
def test_an_attached_image_is_known_by_any_path(scene: Scene, path: Callable[[Scene, Path], Path]) -> None:
    run("mkfs.ext4", "-q", scene.target.partition(2))
    image = scene.mount(scene.target.partition(2), "images") / "image"
    image.write_bytes(bytes(SIZES[0] * SECTOR))
    scene.attach(image)
    other = path(scene, image)
    assert "target_attached" in refused_image(scene.source.partition(1), other)
    assert "source_attached" in refused_image(other, scene.directory / "copy", create=True)


def test_a_path_of_a_removed_file_is_refused(scene: Scene) -> None:
    image = scene.directory / "image"
    image.write_bytes(b"x")
    path = file_descriptor(scene, image)
    image.unlink()
    with pytest.raises(InvalidRequestError, match="without a name"):
        endpoint.look(str(path))


@pytest.fixture
def mounted(scene: Scene) -> Path:
    return scene.mount(scene.source.partition(2), "mounted")


def test_an_image_on_an_overlay_over_the_source_is_refused(scene: Scene, mounted: Path) -> None:
    image = scene.overlay(mounted) / "image"
    assert "target_on_source" in refused_image(scene.source.partition(2), image, create=True)
    assert "target_on_source" not in refused_image(scene.source.partition(2), scene.directory / "image", create=True)


def test_an_overlay_over_a_protected_disk_is_refused(scene: Scene, mounted: Path) -> None:
    image = scene.overlay(mounted) / "image"
    protected = (scene.source.identifier,)
    assert "target_protected" in refused_image(scene.target.partition(2), image, create=True, protected=protected)


def test_a_target_disk_in_a_file_on_an_overlay_is_stacked(scene: Scene, mounted: Path) -> None:
    with PartitionedDisk(uuid.uuid4().hex[:8], (2048, 2048), directory=scene.overlay(mounted)) as inner:
        assert "stacked_disks" in {refusal.code for refusal in scene.plan(target=inner.identifier).refusals}
        assert scene.source.devno in observe().disks_under(inner.devno)


def test_overlays_loop_devices_and_binds_are_looked_through(scene: Scene, mounted: Path) -> None:
    outer = scene.overlay(mounted, "outer")
    file = outer / "file"
    file.write_bytes(b"")
    os.truncate(file, 16 * MIB)
    run("mkfs.ext4", "-q", str(file))
    inner = scene.overlay(scene.mount(scene.attach(file), "in the file"), "inner")
    bound = scene.mount(inner, "bound", "--bind")
    partition = second_partition(scene)
    assert partition.devno in places.beneath(observe(), str(bound / "digests"))
    assert partition.devno in beneath_path(str(bound))
    assert partition.devno not in beneath_path(str(scene.directory))


def test_a_loop_device_over_a_file_without_a_path(scene: Scene, mounted: Path) -> None:
    (mounted / "file").write_bytes(bytes(MIB))
    bound = scene.directory / "bound"
    bound.mkdir()
    run("mount", "--bind", str(mounted), str(bound))
    device = scene.attach(bound / "file")
    run("umount", "-l", str(bound))
    partition = second_partition(scene)
    assert [holder.path for holder in partition.holders] == [device]
    assert [name.split(" ")[0] for name in describe_users(partition.mounts, partition.devno)] == [device]
    assert is_written(partition.mounts, partition.devno)


@pytest.mark.needs("mkswap", "swapon")
def test_a_swap_file_is_known_through_a_bind_mount(scene: Scene, mounted: Path) -> None:
    bound = scene.mount(mounted, "bound", "--bind")
    file = bound / "swap"
    file.write_bytes(bytes(4 * MIB))
    file.chmod(0o600)
    run("mkswap", str(file))
    run("swapon", str(file))
    scene.cleanup.callback(run, "swapoff", str(file))
    assert "source_swap_file" in {refusal.code for refusal in scene.plan().refusals}
