# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition tables on real devices against what the kernel knows: alike after a read, different after a rewrite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from blksync.discovery.observe import observe
from tests.support.disks import MIB, LoopDevice, drop_partitions, run

pytestmark = pytest.mark.needs("root", "loop-devices", "sfdisk", "partx")
SCRIPTS = {
    "primaries": "label: dos\nstart=2048, size=4096\nstart=8192, size=4097\n",
    "a gap in the numbers": "label: dos\n2: start=2048, size=4096\n4: start=8192, size=4097\n",
    "logical": "label: dos\nstart=2048, size=2048\nstart=6144, size=30000, type=5\n"
    "5: start=8192, size=2000\n6: start=12288, size=2001\n7: start=20480, size=2002\n",
    "gpt": "label: gpt\nstart=2048, size=4096\n3: start=8192, size=4097\n",
}


ON_512 = [(script, 512) for script in SCRIPTS]


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[LoopDevice]:
    with LoopDevice((40 if request.param == 512 else 320) * MIB, sector=request.param) as made:
        drop_partitions(made.path)
        yield made


def write_table(disk: LoopDevice, script: str) -> None:
    run("sfdisk", "--quiet", "--wipe", "always", "--no-reread", "--no-tell-kernel", disk.path, stdin=script)


def stale(disk: LoopDevice) -> tuple[int, ...]:
    return next(each.stale for each in observe().disks if each.devno == disk.devno)


# partx cannot tell the kernel of an extended partition on sectors of 4096 bytes.
@pytest.mark.parametrize(("script", "disk"), [*ON_512, ("primaries", 4096), ("gpt", 4096)], indirect=["disk"])
def test_what_the_kernel_has_read_is_not_stale(disk: LoopDevice, script: str) -> None:
    write_table(disk, SCRIPTS[script])
    run("partx", "-a", disk.path)
    assert stale(disk) == ()


@pytest.mark.parametrize(
    ("disk", "script", "old", "new", "numbers"),
    [
        (512, "primaries", "start=8192", "start=8193", (2,)),
        (512, "primaries", "size=4097", "size=4098", (2,)),
        (512, "primaries", "start=8192, size=4097\n", "", (2,)),
        (512, "primaries", "start=8192, size=4097\n", "start=8192, size=4097\nstart=16384, size=9\n", (3,)),
        (512, "logical", "size=2001", "size=2009", (6,)),
        (512, "logical", "6: start=12288, size=2001\n7", "6", (6, 7)),
        (512, "gpt", "size=4097", "size=4098", (3,)),
        (512, "gpt", "start=2048, size=4096", "start=2304, size=3840", (1,)),
        (4096, "primaries", "size=4097", "size=4098", (2,)),
        (4096, "gpt", "size=4097", "size=4098", (3,)),
    ],
    indirect=["disk"],
)
def test_a_table_rewritten_behind_the_kernel_is_stale(
    disk: LoopDevice, script: str, old: str, new: str, numbers: tuple[int, ...]
) -> None:
    write_table(disk, SCRIPTS[script])
    run("partx", "-a", disk.path)
    assert old in SCRIPTS[script]
    write_table(disk, SCRIPTS[script].replace(old, new))
    assert stale(disk) == numbers


@pytest.mark.needs("wipefs")
@pytest.mark.parametrize(
    ("disk", "script", "how"),
    [
        (512, "primaries", "dd of=%s if=/dev/zero bs=4096 count=1 conv=notrunc,fsync"),
        (4096, "primaries", "dd of=%s if=/dev/zero bs=4096 count=1 conv=notrunc,fsync"),
        (512, "primaries", "wipefs --all --force %s"),
        (512, "gpt", "wipefs --all --force %s"),
    ],
    indirect=["disk"],
)
def test_a_table_wiped_behind_the_kernel_is_stale_throughout(disk: LoopDevice, script: str, how: str) -> None:
    write_table(disk, SCRIPTS[script])
    run("partx", "-a", disk.path)
    run(*(how % disk.file).split())  # the file: what is closed after writing may be read again at once
    run("blockdev", "--flushbufs", disk.path)
    assert stale(disk) == ((1, 3) if script == "gpt" else (1, 2))


@pytest.mark.parametrize("disk", [512], indirect=True)
def test_a_table_of_another_kind_is_not_stale(disk: LoopDevice) -> None:
    write_table(disk, SCRIPTS["primaries"])
    run("partx", "-a", disk.path)
    with open(disk.path, "r+b") as file:
        file.write(b"ER".ljust(4096, b"\0"))  # of Apple, which only the kernel knows
    assert stale(disk) == ()
