# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Checks that blkid recognises a finished copy as the same as the source.

A copy of the used blocks only leaves old bytes in the target's free space, among them perhaps the signature of what
was there before. blkid(8): exit status 0 found, 2 nothing found, 8 ambivalent (several signatures); 4 wrong usage.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import VerificationError
from ..system import programs
from ..system.device import Device

FOUND, NOTHING, AMBIVALENT = 0, 2, 8
PATIENCE = 60.0  # seconds
TAGS = ("TYPE", "UUID")  # what it says of partition tables depends on the device's sectors


@dataclass(frozen=True)
class Identity:
    """blkid's tags of TAGS that are there, with their names, and whether it found several signatures."""

    tags: tuple[tuple[str, str], ...]
    ambivalent: bool = False

    def __str__(self) -> str:
        if self.ambivalent:
            return "several kinds of content at the same time"
        return ", ".join("%s %s" % tag for tag in self.tags) or "nothing that is known"


def verify_same(source: Device, target: Device) -> list[str]:
    """Compare the two, which are only read; the target is flushed. Returns a sentence if that was not possible.

    Raises VerificationError if the target is recognised as something else.
    """
    target.drop_cache()
    ours, theirs = probe(source), probe(target)
    if ours is None or theirs is None:
        return ["It could not be checked what %s is recognised as: blkid does not work here." % target.path]
    if ours != theirs:
        raise VerificationError(
            "%s is recognised as %s, its source %s as %s." % (target.path, theirs, source.path, ours),
            "Signatures of what was on the target before are left in its free space: run again with scope all, "
            "or clear the target first (wipefs --all %s)." % target.path,
        )
    return []


def probe(device: Device) -> Identity | None:
    """Ask blkid of an open device or image; None if it cannot be asked."""
    blkid = programs.find("blkid")
    if not blkid:
        return None
    try:
        done = programs.run((blkid, "-p", "-o", "export", "/proc/self/fd/%d" % device.fd), PATIENCE, (device.fd,))
    except OSError:
        return None
    return parse(done.returncode, os.fsdecode(done.stdout))


def parse(status: int, text: str) -> Identity | None:
    """blkid's answer; None for an exit status that is no answer."""
    if status not in (FOUND, NOTHING, AMBIVALENT):
        return None
    tags = tuple(line.partition("=")[::2] for line in text.splitlines())
    return Identity(tuple(sorted(tag for tag in tags if tag[0] in TAGS)), status == AMBIVALENT)
