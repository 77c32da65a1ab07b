# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a directory equal to a set of files. The differences are found first, as data; then each is removed.

A state maps the path of each entry, relative to the directory ("" is the directory itself), to one line that says all
that must be right: kind, mode, owner, group and content.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import Iterable, Mapping

from ..system import atomic_file

FILE, DIRECTORY, OTHER = "file", "directory", "other"
FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
OWNER, GROUP = 0, 0


@dataclass(frozen=True)
class Difference:
    """An entry whose state must change. ``before`` is empty if it does not exist, ``after`` if it must not."""

    path: str
    before: str
    after: str


def wanted(files: Mapping[str, bytes]) -> dict[str, str]:
    """The state of a directory that holds these files and nothing else, everything owned by root."""
    state = {}
    for path, content in files.items():
        parent = path
        while parent:
            parent = os.path.dirname(parent)
            state[parent] = _line(DIRECTORY, DIRECTORY_MODE, OWNER, GROUP)
        state[path] = wanted_file(content, FILE_MODE)
    return state


def wanted_file(content: bytes, mode: int) -> str:
    """The state of a file that is owned by root."""
    return _line(FILE, mode, OWNER, GROUP, content)


def observe(directory: str) -> dict[str, str]:
    """The state of a directory and all that is in it; empty if it does not exist. Raises OSError."""
    state = {}
    below = [""]
    while below:
        path = below.pop()
        line = observe_entry(join(directory, path))
        if line:
            state[path] = line
        if kind(line) == DIRECTORY:
            below += [os.path.join(path, name) for name in os.listdir(os.path.join(directory, path))]
    return state


def observe_entry(path: str) -> str:
    """The state of one entry, whose links are not followed; empty if it does not exist. Raises OSError."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return ""
    content = b""
    name = OTHER
    if stat.S_ISDIR(found.st_mode):
        name = DIRECTORY
    elif stat.S_ISREG(found.st_mode):
        name = FILE
        with open(path, "rb") as file:
            content = file.read()
    return _line(name, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, content)


def kind(line: str) -> str:
    """FILE, DIRECTORY or OTHER; empty for an entry that does not exist."""
    return line.partition(" ")[0]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """What has to change to get from one state to the other, by path."""
    paths = sorted(set(before) | set(after))
    every = [Difference(path, before.get(path, ""), after.get(path, "")) for path in paths]
    return [difference for difference in every if difference.before != difference.after]


def remove(directory: str, found: Iterable[Difference]) -> None:
    """Remove what must not exist, and what is a directory instead of a file or the other way. Raises OSError."""
    for difference in sorted(found, key=lambda each: each.path, reverse=True):  # what a directory holds comes first
        if difference.before and kind(difference.before) != kind(difference.after):
            path = join(directory, difference.path)
            if kind(difference.before) == DIRECTORY:
                os.rmdir(path)
            else:
                os.unlink(path)


def write(directory: str, found: Iterable[Difference], files: Mapping[str, bytes]) -> None:
    """Make and repair what must exist, after remove(). Each file is replaced in one step. Raises OSError."""
    for difference in sorted(found, key=lambda each: each.path):  # a directory comes before what it holds
        path = join(directory, difference.path)
        if kind(difference.after) == DIRECTORY:
            if kind(difference.before) != DIRECTORY:
                os.mkdir(path)
            os.chown(path, OWNER, GROUP)
            os.chmod(path, DIRECTORY_MODE)
        elif difference.after:
            atomic_file.replace(path, files[difference.path], FILE_MODE)
            os.chown(path, OWNER, GROUP)


def join(directory: str, path: str) -> str:
    """The path of an entry of the directory, or of the directory itself."""
    return os.path.join(directory, path) if path else directory


def _line(name: str, mode: int, owner: int, group: int, content: bytes = b"") -> str:
    line = "%s %04o %d:%d" % (name, mode, owner, group)
    return "%s sha256:%s" % (line, hashlib.sha256(content).hexdigest()) if name == FILE else line
