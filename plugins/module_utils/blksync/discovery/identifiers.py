# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Finds the one disk that an identifier of the user names, or raises an error. Pure.

A disk is never chosen by its size or its place in a list.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Callable

from ..errors import DiskAmbiguousError, DiskNotFoundError, InvalidRequestError
from .model import Disk, Machine

FORMS = (
    "Name a disk by its PTUUID (11111111, 0x11111111, a GPT GUID, or one of these after ptuuid:), /dev/disk/by-id/..., "
    "/dev/disk/by-path/..., serial:... or wwn:... "
    "To list them, run: lsblk --nodeps --output NAME,PTUUID,SERIAL,WWN,MODEL,SIZE"
)

_MBR_IDENTIFIER = re.compile(r"(?:0x([0-9a-f]{1,8})|([0-9a-f]{8}))", re.IGNORECASE)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PREFIXED = re.compile(r"(ptuuid|serial|wwn):\s*(.+)", re.IGNORECASE)
_KERNEL_NAME = re.compile(r"/dev/(?:(?:sd|hd|vd|xvd)[a-z]+|(?:nvme\d+n|mmcblk|loop|nbd|md|dm-)\d+)")
_NOT_OF_A_DISK = re.compile(r"/dev/disk/by-(uuid|label|partuuid|partlabel|diskseq)/")
_WWN_PREFIX = re.compile(r"(?:0x|naa\.)", re.IGNORECASE)


@dataclass(frozen=True)
class Identifier:
    """A disk identifier, taken apart.

    ``kind`` is "PTUUID", "path", "serial" or "WWN"; ``value`` is normalised for comparing; ``text`` is as written.
    """

    kind: str
    value: str
    text: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know even if the identifier names one disk."""
        if self.kind == "path" and _KERNEL_NAME.fullmatch(self.value):
            return (
                "%s is a name that the kernel gives to another disk after the next restart or plugging in; "
                "name the disk by its PTUUID, serial number or /dev/disk/by-id link." % self.value,
            )
        return ()


def parse_identifier(value: object, option: str = "disk") -> Identifier:
    """Take an identifier apart, as it came from YAML; ``option`` is for messages.

    A module must take it as ``type: raw``: with ``type: str`` Ansible makes a string of a number without a word,
    and the user's 01234567 (octal in YAML) or 0x11111111 would be another disk's identifier.
    An ``Identifier`` is returned as it is. Raises InvalidRequestError for a number and for text of no known form.
    """
    if isinstance(value, Identifier):
        return value
    if not isinstance(value, str):
        raise InvalidRequestError(*_no_text(value, option))
    text = value.strip()
    prefixed = _PREFIXED.fullmatch(text)
    prefix, rest = (prefixed.group(1).lower(), prefixed.group(2)) if prefixed else ("", text)
    if prefix == "serial":
        return Identifier("serial", rest, text)
    if prefix == "wwn":
        return Identifier("WWN", _plain_wwn(rest), text)
    mbr = _MBR_IDENTIFIER.fullmatch(rest)
    if mbr:
        return Identifier("PTUUID", (mbr.group(1) or mbr.group(2)).lower().zfill(8), text)
    if _GUID.fullmatch(rest):
        return Identifier("PTUUID", rest.lower(), text)
    if text.startswith("/dev/"):
        path = posixpath.normpath(text)
        if _NOT_OF_A_DISK.match(path):
            raise InvalidRequestError(
                "%s: %s does not tell disks apart: a backup has the same file systems as the main disk, and "
                "such links lead to either." % (option, text),
                FORMS,
            )
        return Identifier("path", path, text)
    raise InvalidRequestError("%s: %r is no disk identifier." % (option, text), FORMS)


def parse_identifiers(value: object, option: str = "disks") -> tuple[Identifier, ...]:
    """Take a list of identifiers apart, or a single one; None is an empty list.

    A module must take it as ``type: raw``, as for ``parse_identifier``: ``type: list`` makes text of a single number.
    """
    if value is None:
        return ()
    return tuple(parse_identifier(item, option) for item in (value if isinstance(value, (list, tuple)) else [value]))


def select(machine: Machine, value: object) -> Disk:
    """The one disk that an identifier (or ``Identifier``) names.

    Raises DiskNotFoundError or DiskAmbiguousError, both of which list the candidates, and InvalidRequestError.
    """
    identifier = parse_identifier(value)
    found = matches(machine, identifier)
    what = "the %s %s" % (identifier.kind, identifier.value)
    if not found:
        others = "The disks of this machine:" if machine.disks else "This machine has no disks."
        raise DiskNotFoundError(
            "No disk has %s. %s" % (what, others),
            "Plug the disk in, or correct the identifier.",
            [disk.describe() for disk in machine.disks],
        )
    if len(found) > 1:
        raise DiskAmbiguousError(
            "%d disks have %s:" % (len(found), what),
            "Name the one that is meant by something that only it has, or unplug the other.",
            [disk.describe() for disk in found],
        )
    return found[0]


def matches(machine: Machine, value: object) -> tuple[Disk, ...]:
    """Every disk that an identifier (or ``Identifier``) could mean.

    Raises InvalidRequestError if it names a partition.
    """
    identifier = parse_identifier(value)
    _refuse_partition(machine, identifier)
    tests: dict[str, Callable[[Disk], bool]] = {
        "PTUUID": lambda disk: disk.ptuuid == identifier.value,
        "path": lambda disk: identifier.value == disk.path or identifier.value in disk.links,
        "serial": lambda disk: disk.serial == identifier.value,
        "WWN": lambda disk: disk.wwn is not None and _plain_wwn(disk.wwn) == identifier.value,
    }
    return tuple(filter(tests[identifier.kind], machine.disks))


def _refuse_partition(machine: Machine, identifier: Identifier) -> None:
    for disk in machine.disks:
        for partition in disk.partitions:
            if identifier.value == partition.path or identifier.value in partition.links:
                raise InvalidRequestError(
                    "%s is partition %d of %s." % (identifier.text, partition.number, disk.describe()),
                    "Name the whole disk; partitions are given by their numbers.",
                )


def _plain_wwn(wwn: str) -> str:
    """A WWN without the prefixes that some tools write and others leave out."""
    return _WWN_PREFIX.sub("", wwn.strip(), count=1).lower()


def _no_text(value: object, option: str) -> tuple[str, str]:
    """Message and hint for a value that YAML did not leave as text."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return "%s: expected text, got %s." % (option, type(value).__name__), FORMS
    message = "%s is the number %r; an identifier is text, so quote it." % (option, value)
    written = _as_written(value) if isinstance(value, int) else []
    if not written:
        return message, FORMS
    quoted = " or ".join('%s: "%s"' % (option, text) for text in written)
    return message, (
        "As it was written: %s. If quotes do not help, as in an INI inventory or with jinja2_native, write %s."
        % (quoted, " or ".join("ptuuid:%s" % text for text in written))
    )


def _as_written(number: int) -> list[str]:
    """The identifiers that YAML may have read as this number: decimal, octal after a 0, hexadecimal after 0x."""
    if not 0 <= number < 1 << 32:
        return []
    decimal = ["%d" % number] * (len("%d" % number) == 8)
    octal = ["%08o" % number] * (number < 8**7)
    return [*decimal, *octal, "0x%08x" % number]
