# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""File systems that store their files in other file systems (Documentation/filesystems/overlayfs.rst, ecryptfs.rst)."""

from __future__ import annotations

import re

from ..system.mountinfo import Mount, unescape


def written_layers(mount: Mount) -> tuple[str, ...]:
    """The directories that writing to the mount ends in; empty if it is no such file system, or read-only.

    A relative directory is left out: it was named from a working directory that nobody knows any more.
    """
    if mount.fstype == "ecryptfs":
        return _absolute(mount.source)
    return _absolute(*(value for key, value in _options(mount) if key in ("upperdir", "workdir")))


def read_layers(mount: Mount) -> tuple[str, ...]:
    """All directories that reading from the mount may end in."""
    lower: list[str] = []
    for key, value in _options(mount):
        if key == "lowerdir":  # a list; a colon in a name has a backslash before it
            lower += [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\):", value)]
        elif key in ("lowerdir+", "datadir+"):
            lower.append(value)
    return (*written_layers(mount), *_absolute(*lower))


def _options(mount: Mount) -> list[tuple[str, str]]:
    """The options of an overlay; the kernel writes commas and equals signs in them as octal escapes."""
    if mount.fstype != "overlay":
        return []
    options = [option.partition("=") for option in mount.super_options.split(",")]
    return [(key, unescape(value)) for key, _equals, value in options]


def _absolute(*directories: str) -> tuple[str, ...]:
    return tuple(directory for directory in directories if directory.startswith("/"))
