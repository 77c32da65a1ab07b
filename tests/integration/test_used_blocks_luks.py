# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The used blocks of a file system on LUKS: copies with the header, and headers as cryptsetup makes them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blksync.discovery.model import Partition
from blksync.used_blocks import filesystem, luks
from blksync.used_blocks.errors import UnknownLayoutError
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.file_trees import digests, grow
from tests.support.used_copy import Pair, check_ext, copy_used, fill_with_rubbish, mounted, observed

pytestmark = pytest.mark.needs("cryptsetup")
SOURCE, TARGET = identifiers()
SIZE = 96 * MIB + 7 * SECTOR  # the partition ends within a block
PASSPHRASE = "not secret"


@contextmanager
def real_mapping(partition: str, _payload: int) -> Iterator[str]:
    name = "blksync-test-%s" % partition.rpartition("/")[2]
    run("cryptsetup", "open", "--key-file", "-", partition, name, stdin=PASSPHRASE)
    try:
        yield "/dev/mapper/" + name
    finally:
        run("cryptsetup", "close", name)


@contextmanager
def loop_at_payload(partition: str, payload: int) -> Iterator[str]:
    loop = run("losetup", "-f", "--show", "-o", str(payload), partition).strip()
    try:
        yield loop
    finally:
        run("losetup", "-d", loop)


def as_mapping(disk: PartitionedDisk, sysfs: Path, loop: str, version: str) -> Partition:
    """The partition as if the loop device on it were the LUKS mapping that its header describes."""
    name = loop.rpartition("/")[2]
    partition = observed(disk)
    (sysfs / name / "dm").mkdir(parents=True)
    uuid = run("cryptsetup", "luksUUID", partition.path).strip().replace("-", "")
    (sysfs / name / "dm" / "uuid").write_text("CRYPT-%s-%s-name\n" % (version.upper(), uuid))
    (sysfs / name / "size").write_text(Path("/sys/class/block", name, "size").read_text())
    return dataclasses.replace(partition, holders=(dataclasses.replace(partition.holders[0], kind="crypt"),))


def luks_format(path: str, version: str, *options: str) -> None:
    cheap = ["--pbkdf-force-iterations", "1000", *(["--pbkdf", "pbkdf2"] if version == "luks2" else [])]
    run(
        "cryptsetup", "luksFormat", "-q", "--type", version, *cheap, *options, "--key-file", "-", path, stdin=PASSPHRASE
    )


@pytest.mark.parametrize(
    ("version", "options", "payload"),
    [
        ("luks1", "--offset 8192", 4 * MIB),
        ("luks1", "--align-payload 8", 2020 * 1024),
        ("luks2", "--luks2-metadata-size 4194304 --offset 40960", 20 * MIB),
        ("luks2", "--luks2-metadata-size 16k --luks2-keyslots-size 1m", 2 * MIB),
        ("luks2", "--sector-size 512 --label name --subsystem other", 16 * MIB),
    ],
)
def test_headers_with_a_payload_anywhere(tmp_path: Path, version: str, options: str, payload: int) -> None:
    image = tmp_path / "image"
    run("truncate", "-s", "64M", str(image))
    luks_format(str(image), version, *options.split())
    assert luks.parse_header(reading(image)).payload == payload


def test_a_partition_that_is_being_encrypted_anew(tmp_path: Path) -> None:
    image = tmp_path / "image"
    run("truncate", "-s", "64M", str(image))
    luks_format(str(image), "luks2")
    cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    run("cryptsetup", "reencrypt", "-q", "--init-only", *cheap, "--key-file", "-", str(image), stdin=PASSPHRASE)
    with pytest.raises(UnknownLayoutError, match="encrypted anew"):
        luks.parse_header(reading(image))


def reading(image: Path) -> luks.Read:
    content = image.read_bytes()
    return lambda offset, length: content[offset : offset + length]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    sizes = (SIZE // SECTOR,)
    with PartitionedDisk(SOURCE, sizes) as source, PartitionedDisk(TARGET, sizes, gap=4096) as target:
        yield Pair(source, target, tmp_path)


@pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "e2fsck")
@pytest.mark.parametrize("version", ["luks1", "luks2"])
@pytest.mark.parametrize("opened", [real_mapping, loop_at_payload])
def test_through_luks(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, opened) -> None:
    """Where the kernel cannot map LUKS, a loop device at the payload's offset of a real header stands for it."""
    if opened is real_mapping:
        try:
            open("/dev/mapper/control", "rb").close()
        except OSError as error:
            pytest.skip("this kernel has no device mapper: %s" % error)
    luks_format(pair.source, version)
    dump = run("cryptsetup", "luksDump", pair.source)
    sectors = re.findall(r"Payload offset:\s+(\d+)", dump)
    payload = int(sectors[0]) * SECTOR if sectors else int(re.findall(r"offset: (\d+) \[bytes\]", dump)[0])
    fill_with_rubbish(pair.target)
    with opened(pair.source, payload) as device:
        run("mkfs.ext4", "-q", device)
        with mounted(device, pair.directory) as directory:
            grow(directory, SIZE - payload)
            before = digests(directory)
            partition = observed(pair.disk)
            if opened is loop_at_payload:
                monkeypatch.setattr(filesystem, "SYSFS", str(tmp_path / "sysfs"))
                partition = as_mapping(pair.disk, tmp_path / "sysfs", device, version)
            used = copy_used(partition, pair.target, directory)
    assert (used.reason, used.skipped > SIZE // 4) == (None, True)
    run("cryptsetup", "open", "--test-passphrase", "--key-file", "-", pair.target, stdin=PASSPHRASE)
    with opened(pair.target, payload) as device:
        check_ext(device)
        with mounted(device, pair.copy, "ro,noload") as copy:
            assert digests(copy) == before
