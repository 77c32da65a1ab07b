# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The udev rules of jobs. Pure.

A backup disk starts its job when it is plugged in, if the job says so. Its copies are not for desktops to mount, and
links such as /dev/disk/by-uuid stay with the main disk, whose file systems have the same UUIDs and labels.

The format is that of udev(7). A value in a match is a pattern; what could mean something there is written as ``?``, so
text of the user is never anything but the value of one key. A pattern that matches too much starts nothing wrong: the
job itself compares the whole identifier.
"""

from __future__ import annotations

import hashlib
import re
from typing import Iterator, Mapping

from ..discovery.identifiers import parse_identifier
from ..jobs.values import JobTarget
from ..options.partitions import EVERY
from .jobs import ScheduledJob

DIGEST = "BLKSYNC_RULES"  # the property of every block device that says which rules it has been through
# What udev itself leaves in a property (shared/device-nodes.h, DEVICE_NODE whitelist), without what a pattern means.
_LITERAL = re.compile(r"[A-Za-z0-9#+\-.:=@_/]", re.ASCII)
_SERIAL_KEYS = ("ID_SERIAL_SHORT", "ID_SCSI_SERIAL")

_HEAD = """\
SUBSYSTEM!="block", GOTO="%(label)s"
ACTION=="remove", GOTO="%(label)s"
"""
_COMMON = (
    _HEAD
    + """\
ENV{%(key)s}="%(digest)s"

# What was opened from a copy, such as LUKS, is known by the disks below it: lsblk does not know it so early.
KERNEL=="dm-*", PROGRAM=="/bin/sh -c 'cd %%S%%p/slaves && for below in *; do /usr/bin/lsblk --inverse --noheadings \
--output WWN,PTUUID,SERIAL /dev/$$below; done'", ENV{.BLKSYNC_BELOW}="%%c"

LABEL="%(label)s"
"""
)


def common(rules: Mapping[str, str]) -> str:
    """What comes before the rules of the jobs, which are given by the names of their files.

    It writes into the database of udev which rules a device has been through.
    """
    return _COMMON % {"label": "blksync_end", "key": DIGEST, "digest": digest(rules)}


def digest(rules: Mapping[str, str]) -> str:
    """What is different for every difference between sets of rules."""
    text = "\0".join("%s\0%s" % (name, text) for name, text in sorted(rules.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def of_job(job: ScheduledJob) -> str:
    """The rules of one job."""
    label = "blksync_%s_end" % job.name
    lines = [_HEAD % {"label": label} + 'ENV{.BLKSYNC_COPY}=""']
    for target in job.job.targets:
        lines += _marks(target)
    if job.on_plug:
        lines.append(
            'ACTION=="add", ENV{.BLKSYNC_COPY}=="1", ENV{DEVTYPE}=="disk", '
            'TAG+="systemd", ENV{SYSTEMD_WANTS}+="blksync@%s.service"' % job.name
        )
    partitions = job.job.sync.partitions
    numbers = "?*" if partitions == EVERY else "|".join(map(str, partitions))
    lines += [
        'ENV{.BLKSYNC_COPY}=="1", ENV{DEVTYPE}=="partition", ENV{PARTN}=="%s", ENV{.BLKSYNC_COPY}="opened"' % numbers,
        'ENV{.BLKSYNC_COPY}=="opened", ENV{UDISKS_IGNORE}="1", OPTIONS+="link_priority=-100"',
        'LABEL="%s"' % label,
    ]
    return "\n".join(lines) + "\n"


def stale_devices(database: str, expected: str) -> tuple[str, ...]:
    """The block devices that have not been through the rules with this digest, sorted.

    ``database`` is the output of ``udevadm info --export-db``: for each device a paragraph of lines such as
    ``N: sda1`` and ``E: DEVTYPE=partition``. An empty ``expected`` means rules that set no digest.
    """
    stale = []
    for paragraph in database.split("\n\n"):
        lines = paragraph.splitlines()
        known = dict(line[3:].partition("=")[::2] for line in lines if line.startswith("E: "))
        if known.get("SUBSYSTEM") == "block" and known.get(DIGEST, "") != expected:
            stale.append(known.get("DEVNAME") or known.get("DEVPATH") or "a device")
    return tuple(sorted(stale))


def _marks(target: JobTarget) -> Iterator[str]:
    """The lines that mark a backup disk with its partitions, and what was opened from it."""
    identifier = parse_identifier(target.identifier)
    value = _pattern(identifier.value)
    serial = value if identifier.kind == "serial" else _pattern(target.serial or "")
    keys = []
    if identifier.kind == "PTUUID":
        keys.append('ENV{ID_PART_TABLE_UUID}=="%s"' % value)
    elif identifier.kind == "WWN":
        keys.append('ENV{ID_WWN}=="%s|0x%s|naa.%s"' % (value, value, value))
    elif identifier.kind == "path":
        link = _pattern(identifier.value[len("/dev/") :])
        keys.append('SYMLINK=="%s|%s-part*"' % (link, link))
    for key in _SERIAL_KEYS if serial else ("",):
        has_serial = ['ENV{%s}=="%s"' % (key, serial)] if key else []
        yield ", ".join([*keys, *has_serial, 'ENV{.BLKSYNC_COPY}="1"'])
    below = [value] if identifier.kind in ("PTUUID", "WWN") else []
    if below or serial:
        yield 'ENV{.BLKSYNC_BELOW}=="*%s*", ENV{.BLKSYNC_COPY}="opened"' % "*".join([*below, *[serial] * bool(serial)])


def _pattern(text: str) -> str:
    """The text as a pattern that matches it, as udev would write it into a property."""
    return "".join(
        each if _LITERAL.match(each) else "?" * len(each.encode("utf-8", "surrogateescape")) for each in text
    )
