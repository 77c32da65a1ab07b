# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of nothing but the used blocks, for file systems of all kinds: whole, and every file the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from blksync.discovery.model import Partition
from blksync.errors import Reason
from blksync.ranges import Range, whole
from blksync.used_blocks.reader import UsedMap
from tests.support.disks import MIB, SECTOR, PartitionedDisk, identifiers, run
from tests.support.file_trees import digests, grow
from tests.support.used_copy import (
    BLOCK,
    Pair,
    assert_same_map_page_by_page,
    check_ext,
    check_xfs,
    copy_used,
    mounted,
    observed,
)

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx", "mkfs.ext4", "e2fsck")
SOURCE, TARGET = identifiers()
EXT, XFS = 96 * MIB, 320 * MIB  # bytes: mkfs.xfs makes nothing smaller than 300 MiB
ODD = 7  # sectors more, so that the partition ends within a block

EXT_SETS = {
    "defaults": "",
    "1k blocks": "-b 1024",
    "2k blocks in small groups": "-b 2048 -g 4096",
    "bigalloc": "-O bigalloc -C 65536",
    "bigalloc of 1k blocks": "-O bigalloc -b 1024 -C 16384",
    "no 64bit": "-O ^64bit",
    "meta_bg": "-O meta_bg,^resize_inode",
    "meta_bg of 1k blocks": "-O meta_bg,^resize_inode -b 1024",
    "no flex_bg": "-O ^flex_bg",
    "flex_bg of 4 groups": "-G 4 -g 2048",
    "inline_data": "-O inline_data",
    "no journal": "-O ^has_journal",
    "no checksums": "-O ^metadata_csum",
    "gdt checksums only": "-O ^metadata_csum,uninit_bg",
    "checksum seed": "-O metadata_csum_seed",
    "no extents": "-O ^extent,^64bit",
    "sparse_super2": "-O sparse_super2,^resize_inode",
    "superblocks in every group": "-O ^sparse_super,^resize_inode -g 2048",
    "initialised tables": "-E lazy_itable_init=0,lazy_journal_init=0",
    "many inodes": "-i 2048 -I 512",
    "encrypt": "-O encrypt",
    "verity": "-O verity",
    "casefold": "-O casefold",
    "quota": "-O quota",
    "project quota": "-O quota,project -E quotatype=usrquota:grpquota:prjquota",
    "fast_commit": "-O fast_commit",
    "ea_inode and large_dir": "-O ea_inode,large_dir",
    "orphan_file": "-O orphan_file",
    "multiple mount protection": "-O mmp",
    "stripes": "-E stride=16,stripe_width=64",
    "as ext3": "-t ext3",
    "as ext2": "-t ext2",
}
XFS_SETS = {
    "defaults": "",
    "no reflink and no rmapbt": "-m reflink=0,rmapbt=0",
    "rmapbt": "-m rmapbt=1",
    "rmapbt and no reflink": "-m rmapbt=1,reflink=0",
    "1k blocks": "-b size=1024",
    "1k blocks and rmapbt": "-b size=1024 -m rmapbt=1",
    "no tree of free inodes": "-m finobt=0,reflink=0,rmapbt=0",
    "large inodes": "-i size=2048",
    "bigtime and inobtcount": "-m bigtime=1,inobtcount=1",
    "4k sectors": "-s size=4096",
}
EXT_SAMPLE = ("defaults", "bigalloc", "1k blocks", "meta_bg")
XFS_SAMPLE = ("defaults", "rmapbt")


def sets(table: dict[str, str], sample: tuple[str, ...]) -> list:
    """Parameters: the sample by default, the rest in full depth."""
    marks = {name: () if name in sample else (pytest.mark.full,) for name in table}
    return [pytest.param(options, id=name, marks=marks[name]) for name, options in table.items()]


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    sizes = (getattr(request, "param", EXT) // SECTOR + ODD,)
    with PartitionedDisk(SOURCE, sizes) as source, PartitionedDisk(TARGET, sizes, gap=4096) as target:
        yield Pair(source, target, tmp_path)


for_xfs = pytest.mark.parametrize("pair", [XFS], indirect=True, ids=[""])


@pytest.mark.parametrize("options", sets(EXT_SETS, EXT_SAMPLE))
def test_ext(pair: Pair, options: str) -> None:
    pair.mkfs("ext4", options)
    with mounted(pair.source, pair.directory, may_lack=True) as directory:
        grow(directory, EXT)
        before = digests(directory)
        assert_same_map_page_by_page(observed(pair.disk), directory)
        used = copy_used(observed(pair.disk), pair.target, directory)
    assert not used.reason
    assert used.skipped > EXT // 4
    assert used.skipped + sum(span.length for span in used.ranges) == EXT + ODD * SECTOR
    check_ext(pair.target)
    with mounted(pair.target, pair.copy, "ro,noload" if "ext2" not in options else "ro") as copy:
        assert digests(copy) == before


@for_xfs
@pytest.mark.needs("mkfs.xfs", "xfs_repair")
@pytest.mark.parametrize("options", sets(XFS_SETS, XFS_SAMPLE))
def test_xfs(pair: Pair, options: str) -> None:
    pair.mkfs("xfs", options)
    with mounted(pair.source, pair.directory, may_lack=True) as directory:
        grow(directory, XFS)
        shared = "reflink=0" not in options
        for number in range(3):
            how = "--reflink=%s" % ("always" if shared else "never")
            run("cp", how, str(directory / "sparse"), str(directory / str(number)))
        before = digests(directory)
        records = assert_same_map_page_by_page(observed(pair.disk), directory)
        overlapping = any(one.stop > after.start for one, after in pairwise(records))
        assert overlapping == (shared and "rmapbt=1" in options)
        used = copy_used(observed(pair.disk), pair.target, directory)
    assert not used.reason
    assert used.skipped > XFS // 4
    with mounted(pair.target, pair.copy, "nouuid") as copy:
        assert digests(copy) == before
    check_xfs(pair.target)


@pytest.mark.parametrize("lost", ["inode table", pytest.param("content", marks=pytest.mark.full)])
def test_a_copy_that_lacks_one_used_block_is_found_out(pair: Pair, lost: str) -> None:
    """The control: without it the tests above might pass whatever is copied."""
    pair.mkfs("ext4", "-b 4096")
    with mounted(pair.source, pair.directory) as directory:
        grow(directory, EXT)
        before = digests(directory)
        if lost == "content":
            extents = run("filefrag", "-b%d" % BLOCK, "-v", str(directory / "large" / "0"))
            first = int(re.findall(r"^ +0: +0\.\. +\d+: +(\d+)\.\.", extents, re.MULTILINE)[0])
        else:
            first = int(re.findall(r"Inode table at (\d+)-", run("dumpe2fs", pair.source))[0])
        copy_used(observed(pair.disk), pair.target, directory, lambda ranges: without(ranges, first * BLOCK, BLOCK))
    if lost == "inode table":
        with pytest.raises(RuntimeError, match="e2fsck"):
            check_ext(pair.target)
        return
    check_ext(pair.target)
    with mounted(pair.target, pair.copy, "ro,noload") as copy:
        after = digests(copy)
        assert {name for name in before if after.get(name) != before[name]} == {"large/0"}


def without(ranges: tuple[Range, ...], offset: int, length: int) -> list[Range]:
    """The ranges without some bytes that lie in one of them."""
    (hit,) = (span for span in ranges if span.offset <= offset and offset + length <= span.offset + span.length)
    end = hit.offset + hit.length
    parts = [Range(hit.offset, offset - hit.offset), Range(offset + length, end - offset - length)]
    return [span for span in ranges if span != hit] + [span for span in parts if span.length]


def test_what_lies_behind_the_file_system_is_copied(pair: Pair) -> None:
    pair.mkfs("ext4", "", "64M")
    place, mark = EXT + ODD * SECTOR - 13 * SECTOR, b"outside of the file system" * 256
    with open(pair.source, "r+b") as file:
        file.seek(place)
        file.write(mark)
    with mounted(pair.source, pair.directory) as directory:
        used = copy_used(observed(pair.disk), pair.target, directory)
    assert used.skipped > 32 * MIB
    with open(pair.target, "rb") as file:
        file.seek(place)
        assert file.read() == mark
    check_ext(pair.target)


@pytest.mark.full
@pytest.mark.parametrize("options", ["", "-b 1024", "-O meta_bg,^resize_inode"])
def test_a_file_system_that_was_made_larger(pair: Pair, options: str) -> None:
    pair.mkfs("ext4", options, "32M")
    run("resize2fs", pair.source)
    with mounted(pair.source, pair.directory) as directory:
        grow(directory, EXT)
        before = digests(directory)
        used = copy_used(observed(pair.disk), pair.target, directory)
    assert used.skipped > EXT // 4
    check_ext(pair.target)
    with mounted(pair.target, pair.copy, "ro,noload") as copy:
        assert digests(copy) == before


@for_xfs
@pytest.mark.full
@pytest.mark.needs("mkfs.xfs", "xfs_repair")
def test_an_xfs_with_its_log_elsewhere(pair: Pair) -> None:
    with (
        PartitionedDisk("1" + SOURCE[1:], (80 * MIB // SECTOR,)) as log,
        PartitionedDisk("1" + TARGET[1:], (80 * MIB // SECTOR,)) as log_copy,
    ):
        pair.mkfs("xfs", "-l logdev=%s" % log.partition(1))
        with mounted(pair.source, pair.directory, "logdev=%s" % log.partition(1)) as directory:
            grow(directory, XFS)
            before = digests(directory)
            used = copy_used(observed(pair.disk), pair.target, directory)
        assert used.skipped > XFS // 4
        # The log itself is another partition's; a copy of it as it was after unmounting will do for the files.
        run("dd", "if=" + log.partition(1), "of=" + log_copy.partition(1), "bs=1M", "conv=fsync")
        with mounted(pair.target, pair.copy, "nouuid,logdev=%s" % log_copy.partition(1)) as copy:
            assert digests(copy) == before


@pytest.mark.full
def test_an_ext4_with_its_journal_elsewhere(pair: Pair) -> None:
    with PartitionedDisk("1" + SOURCE[1:], (8 * MIB // SECTOR,)) as journal:
        run("mkfs.ext4", "-q", "-b", "4096", "-O", "journal_dev", journal.partition(1))
        pair.mkfs("ext4", "-b 4096 -J device=%s" % journal.partition(1))
        with mounted(pair.source, pair.directory) as directory:
            grow(directory, EXT)
            before = digests(directory)
            used = copy_used(observed(pair.disk), pair.target, directory)
        assert used.skipped > EXT // 4
        run("e2fsck", "-fn", "-j", journal.partition(1), pair.target)
        with mounted(pair.target, pair.copy, "ro,noload,journal_path=%s" % journal.partition(1)) as copy:
            assert digests(copy) == before


def why_all(partition: Partition) -> Reason | None:
    """Why the whole partition is copied; None if something is skipped."""
    with UsedMap(partition) as used_map:
        used = used_map.read(BLOCK)
    assert bool(used.reason) == (used.ranges == whole(partition.size)), used.reason
    return used.reason


def test_bindings_covers_and_images_on_it(pair: Pair, tmp_path: Path) -> None:
    pair.mkfs("ext4", "")
    assert why_all(observed(pair.disk)) == Reason("not_mounted", "its file system is not mounted")
    with mounted(pair.source, pair.directory) as directory, ExitStack() as stack:
        (directory / "inside").mkdir()
        assert why_all(observed(pair.disk)) is None
        run("mount", "-t", "tmpfs", "tmpfs", str(directory))
        stack.callback(run, "umount", str(directory))
        reason = why_all(observed(pair.disk))
        assert reason is not None
        assert reason.code == "mountpoint_covered"
        stack.close()
        run("truncate", "-s", "4M", str(directory / "image"))
        loop = run("losetup", "-f", "--show", str(directory / "image")).strip()
        stack.callback(run, "losetup", "-d", loop)
        assert [holder.kind for holder in observed(pair.disk).holders] == ["loop"]
        assert why_all(observed(pair.disk)) is None
        stack.close()
        over_it = run("losetup", "-f", "--show", pair.source).strip()
        stack.callback(run, "losetup", "-d", over_it)
        assert why_all(observed(pair.disk)) == Reason("stacked", "%s (loop) lies on it" % over_it)
        stack.close()
        bound = tmp_path / "bound"
        bound.mkdir()
        run("mount", "--bind", str(directory / "inside"), str(bound))
        run("umount", str(directory))
        try:
            assert why_all(observed(pair.disk)) is None
        finally:
            run("mount", pair.source, str(directory))
            run("umount", str(bound))


@pytest.mark.parametrize("pair", [128 * MIB], indirect=True, ids=[""])
@pytest.mark.needs("mkfs.btrfs")
def test_a_file_system_that_does_not_tell(pair: Pair) -> None:
    run("mkfs.btrfs", "-q", pair.source)
    with mounted(pair.source, pair.directory, may_lack=True):
        reason = why_all(observed(pair.disk))
        assert reason == Reason("unsupported", "btrfs does not report which blocks it uses")
