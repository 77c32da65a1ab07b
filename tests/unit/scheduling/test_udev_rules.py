# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The udev rules of jobs: what they match, and that text of the user is never anything but a value in them."""

from __future__ import annotations

import re
import string
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.scheduling import udev_rules
from blksync.scheduling.jobs import read_jobs

MARK = 'ENV{.BLKSYNC_COPY}="1"'
LINE = re.compile(r'(?:[A-Z]+(?:\{[A-Za-z_.]+\})?(?:==|!=|\+=|=)"[^"\n]*"(?:, )?)+')


def rules(target: Any, **values: Any) -> list[str]:
    (job,), errors = read_jobs([{"name": "travel", "source": "11111111", "target": target, **values}])
    assert errors == []
    return udev_rules.of_job(job).splitlines()


@pytest.mark.parametrize(
    ("target", "keys"),
    [
        ("0x22", ['ENV{ID_PART_TABLE_UUID}=="00000022"']),
        ("0X22", ['ENV{ID_PART_TABLE_UUID}=="00000022"']),
        ("ptuuid:0x22", ['ENV{ID_PART_TABLE_UUID}=="00000022"']),
        (
            {"identifier": "6F9619FF-8B86-D011-B42D-00C04FC964FF", "serial": "S2"},
            [
                'ENV{ID_PART_TABLE_UUID}=="6f9619ff-8b86-d011-b42d-00c04fc964ff", ENV{ID_SERIAL_SHORT}=="S2"',
                'ENV{ID_PART_TABLE_UUID}=="6f9619ff-8b86-d011-b42d-00c04fc964ff", ENV{ID_SCSI_SERIAL}=="S2"',
            ],
        ),
        ("serial:S3", ['ENV{ID_SERIAL_SHORT}=="S3"', 'ENV{ID_SCSI_SERIAL}=="S3"']),
        ("Serial: S3", ['ENV{ID_SERIAL_SHORT}=="S3"', 'ENV{ID_SCSI_SERIAL}=="S3"']),
        ('serial:AB"C', ['ENV{ID_SERIAL_SHORT}=="AB?C"', 'ENV{ID_SCSI_SERIAL}=="AB?C"']),
        ("serial:A*", ['ENV{ID_SERIAL_SHORT}=="A?"', 'ENV{ID_SCSI_SERIAL}=="A?"']),
        ("wwn:0x5002AB", ['ENV{ID_WWN}=="5002ab|0x5002ab|naa.5002ab"']),
        ("/dev/disk/by-id/usb-X-0:0", ['SYMLINK=="disk/by-id/usb-X-0:0|disk/by-id/usb-X-0:0-part*"']),
        ("/dev//disk/./by-id/usb-X-0:0", ['SYMLINK=="disk/by-id/usb-X-0:0|disk/by-id/usb-X-0:0-part*"']),
        ("/dev/backup-disk", ['SYMLINK=="backup-disk|backup-disk-part*"']),
    ],
)
def test_a_disk_is_matched_as_the_module_finds_it(target: Any, keys: list[str]) -> None:
    assert [line for line in rules(target) if line.endswith(MARK)] == ["%s, %s" % (key, MARK) for key in keys]


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        ("0x22", "*00000022*"),
        ({"identifier": "33333333", "serial": "S2"}, "*33333333*S2*"),
        ("serial:S3", "*S3*"),
        ("wwn:0x5002AB", "*5002ab*"),
        ("/dev/disk/by-id/usb-X-0:0", None),
    ],
)
def test_what_was_opened_from_a_copy(target: Any, pattern: str | None) -> None:
    found = [line for line in rules(target) if line.startswith("ENV{.BLKSYNC_BELOW}==")]
    assert found == (['ENV{.BLKSYNC_BELOW}=="%s", ENV{.BLKSYNC_COPY}="opened"' % pattern] if pattern else [])


@pytest.mark.parametrize(("on_plug", "starts"), [("yes", 1), ("no", 0)])
def test_plugging_in_starts_the_job_only_if_wanted(on_plug: str, starts: int) -> None:
    found = [line for line in rules("22222222", on_plug=on_plug) if "SYSTEMD_WANTS" in line]
    assert len(found) == starts
    for line in found:
        assert line.startswith('ACTION=="add", ')
        assert line.endswith('ENV{SYSTEMD_WANTS}+="blksync@travel.service"')


@pytest.mark.parametrize(
    ("partitions", "numbers"), [(None, "1|2"), ([2], "2"), ("all", "?*"), ("1, 3", "1|3"), ("[1, 3]", "1|3")]
)
def test_only_partitions_that_are_copied(partitions: Any, numbers: str) -> None:
    (line,) = (line for line in rules("22222222", partitions=partitions) if "ENV{PARTN}" in line)
    assert 'ENV{PARTN}=="%s"' % numbers in line


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(str.strip))
def test_any_serial_is_one_value_that_matches_it(serial: str) -> None:
    for line in rules({"identifier": "22222222", "serial": serial}):
        assert LINE.fullmatch(line), line
    (pattern,) = (
        line.split('"')[3] for line in rules({"identifier": "22222222", "serial": serial}) if "SERIAL_SHORT" in line
    )
    allowed = string.ascii_letters + string.digits + "#+-.:=@_/"
    # What udev makes of it: one "_" for each byte that a property cannot have.
    written = "".join(each if each in allowed else "_" * len(each.encode()) for each in serial)
    assert fnmatchcase(written, pattern)


def test_the_digest_is_that_of_all_rules() -> None:
    some = {"91-blksync-a.rules": "x\n"}
    assert 'ENV{BLKSYNC_RULES}="%s"' % udev_rules.digest(some) in udev_rules.common(some).splitlines()
    other = [{"91-blksync-a.rules": "y\n"}, {"91-blksync-b.rules": "x\n"}, {**some, "91-blksync-b.rules": ""}]
    assert len({udev_rules.digest(each) for each in [some, *other]}) == 4


DATABASE = """\
P: /devices/virtual/block/loop0
N: loop0
E: DEVNAME=/dev/loop0
E: SUBSYSTEM=block
E: BLKSYNC_RULES=new

P: /devices/pci/block/sda
N: sda
E: DEVNAME=/dev/sda
E: SUBSYSTEM=block
E: BLKSYNC_RULES=old

P: /devices/pci/block/sdb
N: sdb
E: DEVNAME=/dev/sdb
E: SUBSYSTEM=block

P: /devices/pci/net/eth0
E: SUBSYSTEM=net
"""


@pytest.mark.parametrize(
    ("expected", "stale"),
    [("new", ("/dev/sda", "/dev/sdb")), ("old", ("/dev/loop0", "/dev/sdb")), ("", ("/dev/loop0", "/dev/sda"))],
)
def test_devices_that_the_rules_have_not_reached(expected: str, stale: tuple[str, ...]) -> None:
    assert udev_rules.stale_devices(DATABASE, expected) == stale
    assert udev_rules.stale_devices("", expected) == ()
