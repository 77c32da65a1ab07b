# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an identifier to exactly one disk, as tables."""

from __future__ import annotations

import datetime

import pytest

from blksync.discovery.identifiers import Identifier, matches, parse_identifier, parse_identifiers, select
from blksync.discovery.model import Disk, Machine, Partition
from blksync.errors import DiskAmbiguousError, DiskNotFoundError, InvalidRequestError

GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"

MAIN = Disk(
    "sda",
    "/dev/sda",
    "8:0",
    500107862016,
    model="Portable SSD T7",
    serial="S6XNNS0T",
    wwn="0x5002538e40a1b2c3",
    links=("/dev/disk/by-id/usb-T7-0:0", "/dev/disk/by-path/pci-usb-1", "/dev/backup"),
    ptuuid="11111111",
    partitions=(
        Partition(1, "sda1", "/dev/sda1", "8:1", 1048576, 1048576, links=("/dev/disk/by-id/usb-T7-0:0-part1",)),
    ),
)
BACKUP = Disk("sdb", "/dev/sdb", "8:16", 1000204886016, model="Elements", serial="WXD1", ptuuid="0abcdef1")
MODERN = Disk("nvme0n1", "/dev/nvme0n1", "259:0", 1024, serial="S6XNNS0T ", wwn="eui.0025385A", ptuuid=GUID)
MACHINE = Machine((MAIN, BACKUP, MODERN))


@pytest.mark.parametrize(
    ("value", "disk"),
    [
        ("11111111", MAIN),
        ("0x11111111", MAIN),
        ("  11111111\n", MAIN),
        ("0abcdef1", BACKUP),
        ("0ABCDEF1", BACKUP),
        ("0X0ABCDEF1", BACKUP),
        ("0xabcdef1", BACKUP),
        ("ptuuid:0xabcdef1", BACKUP),
        ("PTUUID: 0abcdef1", BACKUP),
        ("ptuuid:%s" % GUID, MODERN),
        (GUID, MODERN),
        (GUID.upper(), MODERN),
        ("/dev/disk/by-id/usb-T7-0:0", MAIN),
        ("/dev/disk/by-path/pci-usb-1", MAIN),
        ("/dev//disk/./by-id/usb-T7-0:0", MAIN),
        ("/dev/backup", MAIN),
        ("/dev/sdb", BACKUP),
        ("/dev/nvme0n1", MODERN),
        ("serial:S6XNNS0T", MAIN),
        ("Serial: WXD1", BACKUP),
        ("wwn:0x5002538e40a1b2c3", MAIN),
        ("wwn:5002538E40A1B2C3", MAIN),
        ("wwn:naa.5002538e40a1b2c3", MAIN),
        ("WWN:eui.0025385a", MODERN),
    ],
)
def test_selected(value: str, disk: Disk) -> None:
    assert select(MACHINE, value) is disk
    assert select(MACHINE, parse_identifier(value)) is disk


@pytest.mark.parametrize(
    "value",
    [
        "1111111a",
        "0x1",
        "6f9619ff-8b86-d011-b42d-000000000000",
        "/dev/sdz",
        "/dev/disk/by-id/gone",
        "serial:s6xnns0t",
        "serial:S6XNN",
        "wwn:0x5002538e40a1b2c",
    ],
)
def test_no_match_lists_every_disk(value: str) -> None:
    with pytest.raises(DiskNotFoundError) as caught:
        select(MACHINE, value)
    for disk in MACHINE.disks:
        assert disk.describe() in caught.value.message
    for fact in ("/dev/sda", "11111111", "Portable SSD T7", "S6XNNS0T", "465.8 GiB"):
        assert fact in caught.value.message


def test_no_match_on_a_machine_without_disks() -> None:
    with pytest.raises(DiskNotFoundError, match="This machine has no disks"):
        select(Machine(()), "11111111")


def test_several_matches_are_listed_and_none_is_chosen() -> None:
    clone = Disk("sdc", "/dev/sdc", "8:32", 500107862016, model="Clone", serial="C1", ptuuid="11111111")
    machine = Machine((MAIN, BACKUP, clone))
    with pytest.raises(DiskAmbiguousError, match="2 disks have the PTUUID 11111111") as caught:
        select(machine, "11111111")
    assert MAIN.describe() in caught.value.message
    assert clone.describe() in caught.value.message
    assert BACKUP.path not in caught.value.message
    assert matches(machine, "0x11111111") == (MAIN, clone)


def test_what_is_unknown_of_a_disk_matches_nothing() -> None:
    machine = Machine((Disk("sda", "/dev/sda", "8:0", 1),))
    for value in ("00000000", "serial:None", "wwn:None", "0x0"):
        assert matches(machine, value) == ()


@pytest.mark.parametrize("value", ["/dev/sda1", "/dev/disk/by-id/usb-T7-0:0-part1"])
def test_a_partition_is_no_disk(value: str) -> None:
    for function in (select, matches):
        with pytest.raises(InvalidRequestError, match="is partition 1 of /dev/sda") as caught:
            function(MACHINE, value)
        assert "Name the whole disk" in caught.value.hint


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "sda",
        "1111111",
        "111111111",
        "0x111111111",
        "0xgggggggg",
        "11111111-01",
        GUID[:-1],
        GUID.replace("-", ""),
        "serial:",
        "serial: ",
        "model:T7",
        "size:500107862016",
        "biggest",
        "./disk",
        "/mnt/disk.img",
        "1111\n1111",
        "\u0661" * 8,
        "11111111\0",
    ],
)
def test_no_identifier(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="no disk identifier") as caught:
        parse_identifier(value, "target")
    assert caught.value.message.startswith("target:")
    assert "PTUUID" in caught.value.hint


@pytest.mark.parametrize("directory", ["by-uuid", "by-label", "by-partuuid", "by-partlabel", "by-diskseq"])
def test_links_that_a_backup_shares_are_refused(directory: str) -> None:
    with pytest.raises(InvalidRequestError, match="tell"):
        parse_identifier("/dev/disk/%s/x" % directory)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (11111111, ['"11111111"']),
        (0o01234567, ['"01234567"']),
        (0x11111111, ['"0x11111111"']),
        (0x01234567, ['"19088743"', '"0x01234567"']),
        (0xFFFFFFFF, ['"0xffffffff"']),
        (0o00123456, ['"00123456"', '"0x0000a72e"']),
        (1 << 40, []),
        (-11111111, []),
        (1.5, []),
        (float("inf"), []),
    ],
)
def test_a_number_has_to_be_quoted(number: float, written: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="quote it") as caught:
        parse_identifier(number, "source")
    assert repr(number) in caught.value.message
    assert all("source: " + text in caught.value.hint for text in written)
    assert all("ptuuid:" + text.strip('"') in caught.value.hint for text in written)
    assert written or "PTUUID" in caught.value.hint


def test_what_is_text_everywhere_means_what_it_says() -> None:
    """An INI inventory and jinja2_native make a number of quoted digits, but not of these."""
    assert parse_identifier("ptuuid:01234567").value == parse_identifier("01234567").value


@pytest.mark.parametrize("value", [True, False, None, [], {}, b"11111111", datetime.date(2026, 1, 1)])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequestError, match="expected text"):
        parse_identifier(value)


@pytest.mark.parametrize(
    ("value", "warned"),
    [
        ("/dev/sda", True),
        ("/dev/sdab", True),
        ("/dev/nvme0n1", True),
        ("/dev/mmcblk0", True),
        ("/dev/loop7", True),
        ("/dev/vda", True),
        ("/dev/dm-0", True),
        ("/dev/backup", False),
        ("/dev/mapper/mpatha", False),
        ("/dev/disk/by-id/usb-T7-0:0", False),
        ("11111111", False),
        ("serial:/dev/sda", False),
    ],
)
def test_a_kernel_name_works_with_a_warning(value: str, warned: bool) -> None:
    assert [value in warning for warning in parse_identifier(value).warnings] == [True] * warned


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (None, []),
        ([], []),
        ("11111111", ["11111111"]),
        (["0x11111111", "serial:X"], ["11111111", "X"]),
        (("11111111",), ["11111111"]),
    ],
)
def test_list_of_identifiers(value: object, values: list[str]) -> None:
    assert [identifier.value for identifier in parse_identifiers(value)] == values


@pytest.mark.parametrize("value", [11111111, [11111111], ["22222222", None], [["11111111"]], {"11111111": 1}])
def test_list_of_identifiers_with_something_else_in_it(value: object) -> None:
    with pytest.raises(InvalidRequestError, match="protected: "):
        parse_identifiers(value, "protected")


def test_an_identifier_stays_what_it_is() -> None:
    identifier = Identifier("serial", "X", "serial:X")
    assert parse_identifier(identifier) is identifier
