# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From superblocks to refusals: what is damaged, what spans devices, what needs other sectors."""

from __future__ import annotations

import pytest

from blksync.discovery.host import System
from blksync.discovery.model import Holder, Partition
from blksync.errors import Refusal
from blksync.quiesce.plan import QuiescePlan
from blksync.superblocks.content import Content
from blksync.superblocks.observe import Observed, logical_sector, observe
from blksync.sync.plan import Pair
from blksync.sync.superblock_refusals import (
    damage_refusals,
    examine,
    sector_refusals,
    sector_warnings,
    unclean_warnings,
)
from blksync.system.mountinfo import Mount


def holding(content: Content, *inner: Observed) -> Observed:
    return Observed("/dev/sda2", content, inner=inner)


EXT4_1K, EXT4 = Content("ext4", unit=1024), Content("ext4", unit=4096)
LUKS, LUKS_4K = Content("crypto_LUKS", unit=512), Content("crypto_LUKS", unit=4096)
GPT, GPT_4K = Content("gpt", unit=512, exact=True), Content("gpt", unit=4096, exact=True)
UNKNOWN = Content("")
WORKS: list[tuple[Observed, int, int]] = [
    (holding(EXT4_1K), 512, 512),
    (holding(UNKNOWN), 512, 512),
    (holding(UNKNOWN), 4096, 4096),
    (holding(EXT4), 512, 4096),
    (holding(EXT4), 4096, 512),
    (holding(EXT4_1K), 0, 512),
    (holding(EXT4_1K), 512, 0),
    (holding(UNKNOWN), 0, 4096),
    (holding(UNKNOWN), 4096, 0),
    (holding(GPT_4K), 0, 4096),
    (holding(LUKS_4K), 512, 4096),
    (holding(LUKS_4K, holding(UNKNOWN)), 512, 4096),
    (holding(LUKS, holding(EXT4)), 4096, 512),
]
FAILS: list[tuple[Observed, int, int]] = [
    (holding(EXT4_1K), 512, 4096),
    (holding(EXT4_1K), 0, 4096),
    (holding(UNKNOWN), 512, 4096),
    (holding(UNKNOWN), 4096, 512),
    (holding(Content("LVM2_member"), holding(EXT4)), 512, 4096),
    (holding(GPT), 0, 4096),
    (holding(GPT_4K), 0, 512),
    (holding(GPT_4K), 4096, 512),
    (holding(LUKS), 512, 4096),
    (holding(LUKS, holding(UNKNOWN)), 4096, 512),
    (holding(LUKS_4K), 0, 8192),
]


@pytest.mark.parametrize(("source", "ours", "theirs"), WORKS)
def test_sectors_that_suit_the_content(source: Observed, ours: int, theirs: int) -> None:
    assert list(sector_refusals(source, "/dev/sdb2", ours, theirs)) == []


@pytest.mark.parametrize(("source", "ours", "theirs"), FAILS)
def test_sectors_that_do_not_suit_the_content(source: Observed, ours: int, theirs: int) -> None:
    (refusal,) = sector_refusals(source, "/dev/sdb2", ours, theirs)
    assert refusal.code == "sector_size_differs"
    assert "/dev/sdb2 has logical sectors of %d bytes" % theirs in refusal.message
    assert not ours or "/dev/sda2 of %d bytes" % ours in refusal.message


def test_a_fat_of_larger_sectors_is_a_warning() -> None:
    fat = holding(Content("vfat", unit=4096))
    assert list(sector_refusals(fat, "/dev/sdb1", 4096, 512)) == []
    (warning,) = sector_warnings(fat, "/dev/sdb1", 512)
    assert "sectors of 4096 bytes, and /dev/sdb1 has logical sectors of 512 bytes" in warning
    assert list(sector_warnings(fat, "/dev/sdb1", 4096)) == []
    assert list(sector_warnings(fat, "image", 0)) == []


def test_damage_inside_luks_names_the_mapping() -> None:
    damaged = Content("ext4", 4096, damage=("this", "that"), repair="e2fsck -f %s")
    source = holding(LUKS_4K, Observed("/dev/mapper/root", damaged))
    (refusal,) = damage_refusals(source)
    assert refusal.message == "The ext4 on /dev/mapper/root has recorded errors: this; that."
    assert "e2fsck -f /dev/mapper/root" in refusal.hint


def test_a_fat_that_is_mounted_may_be_unclean() -> None:
    fat = Content("vfat", 512, unclean=True, repair="fsck.fat -a %s")
    assert list(unclean_warnings(Observed("/dev/sda1", fat, mounted=True))) == []
    assert len(list(unclean_warnings(Observed("/dev/sda1", fat)))) == 1


class FakeSystem(System):
    """Files of sysfs and devices as a dict says; blkid calls every device by its entry in ``kinds``."""

    def __init__(self, files: dict[str, str], kinds: dict[str, str], contents: dict[str, bytes]) -> None:
        self.files, self.kinds, self.contents = files, kinds, contents

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, directory: str) -> list[str]:
        return sorted(
            {path[len(directory) + 1 :].split("/")[0] for path in self.files if path.startswith(directory + "/")}
        )

    def run(self, *argv: str) -> str | None:
        kind = self.kinds.get(argv[-1])
        return "DEVNAME=%s\nTYPE=%s\n" % (argv[-1], kind) if kind else None

    def read(self, path: str, devno: str, offset: int, length: int) -> bytes | None:
        assert offset % 4096 == 0
        assert length % 4096 == 0
        content = self.contents.get(path, b"")
        return content[offset : offset + length] if offset + length <= len(content) else None


def ext4(state: int) -> bytes:
    content = bytearray(8192)
    content[1024 + 0x38 : 1024 + 0x3C] = bytes((0x53, 0xEF, state, 0))
    return bytes(content)


MOUNT = Mount(1, 0, "253:0", "/", "/", "rw", (), "ext4", "/dev/mapper/root", "rw")
MAPPING = Holder("dm-0", "/dev/mapper/root", "253:0", "crypt", (MOUNT,))
SOURCE = Partition(2, "sda2", "/dev/sda2", "8:2", 0, 8192, holders=(MAPPING,))
PAIR = Pair(2, SOURCE, Partition(2, "sdb2", "/dev/sdb2", "8:18", 0, 8192), QuiescePlan())


def test_errors_that_only_the_kernel_has_counted() -> None:
    files = {"/sys/fs/ext4/dm-0/errors_count": "3"}
    system = FakeSystem(files, {"/dev/sda2": "crypto_LUKS"}, {"/dev/mapper/root": ext4(1)})
    (refusal,) = examine([PAIR], False, system).refusals
    assert refusal.message == "The ext4 on /dev/mapper/root has recorded errors: the kernel has counted 3."
    assert examine([PAIR], True, system).warnings == (refusal.message,)
    assert examine([PAIR], True, system).refusals == ()
    files["/sys/fs/ext4/dm-0/errors_count"] = "0"
    assert examine([PAIR], False, system).refusals == ()


def test_errors_of_a_mounted_btrfs() -> None:
    content = bytearray(128 * 1024)
    content[65536 + 0x40 : 65536 + 0x48], content[65536 + 0x91] = b"_BHRfS_M", 0x10
    path = "/sys/fs/btrfs/00000000-0000-0000-0000-000000000000/devinfo/1/error_stats"
    system = FakeSystem({path: "write_errs 0\nread_errs 2"}, {"/dev/sda2": "btrfs"}, {"/dev/sda2": bytes(content)})
    assert observe(SOURCE, system).content.damage == ("the kernel has counted read_errs 2",)


def test_a_file_system_that_was_refused_already_is_not_told_twice() -> None:
    content = bytearray(ext4(1))
    content[1024 + 0x5C] = 4  # a journal, and no inode of it
    system = FakeSystem({}, {}, {"/dev/mapper/root": bytes(content)})
    (refusal,) = examine([PAIR], False, system).refusals
    assert refusal.code == "source_spans_devices"
    known = QuiescePlan(refusals=(Refusal("source_spans_devices", "It spans."),))
    assert examine([Pair(2, SOURCE, PAIR.target, known)], False, system).refusals == ()


def test_images_mounted_from_the_source_are_files_of_it() -> None:
    loop = Holder("loop0", "/dev/loop0", "7:0", "loop")
    mounted = Partition(1, "sda1", "/dev/sda1", "8:1", 0, 8192, holders=(loop,))
    system = FakeSystem({}, {"/dev/loop0": "ext4"}, {"/dev/loop0": ext4(3)})
    assert observe(mounted, system).inner == ()


def test_the_sectors_of_a_partition_are_those_of_its_disk() -> None:
    queue = "queue/logical_block_size"
    system = FakeSystem({"/sys/dev/block/8:2/../" + queue: "4096", "/sys/dev/block/8:0/" + queue: "512"}, {}, {})
    assert [logical_sector(devno, system) for devno in ("8:2", "8:0", "", "9:9")] == [4096, 512, 0, 0]
