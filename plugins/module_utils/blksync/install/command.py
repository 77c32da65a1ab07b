# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Installs and removes the ``blksync`` command.

Each version lies in a directory of its own below the library directory, named after its content. The launcher names
the directory that it runs. So one rename, of the launcher, switches from one version to the next, and a process that
starts at this moment has either the old version or the new one as a whole. An installation that was killed is completed
by the next one.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Iterator, Mapping, Sequence

from ..errors import BlksyncError, InvalidRequestError, described
from ..options import Request
from ..options.kinds import PATH, TEXT, option
from ..system import atomic_file
from ..system.processes import is_running
from . import tree
from .tree import Difference

NAME = "blksync"
PRESENT = "present"
LAUNCHER_MODE = 0o755
LAUNCHER = '''\
#!%(python)s -IB
# Installed by the Ansible module blksync.backup.command, which overwrites changes.
"""The blksync command: the core of the collection blksync.backup."""

# -I: nobody's environment or directory adds modules. -B: root leaves no compiled files behind.
import sys

sys.path.insert(0, %(directory)r)

from blksync.cli import main

if __name__ == "__main__":
    sys.exit(main())
'''


@dataclass(frozen=True)
class InstallRequest(Request):
    """What to install or remove. ``path`` is the launcher, ``library_dir`` a directory that holds nothing else."""

    state: str = option(TEXT, PRESENT, choices=(PRESENT, "absent"))
    path: str = option(PATH, "/usr/local/bin/blksync")
    library_dir: str = option(PATH, "/usr/local/lib/blksync")
    python: str = option(PATH, "/usr/bin/python3")
    check: bool = False

    def conflicts(self) -> Iterator[InvalidRequestError]:
        """See Request."""
        library = os.path.normpath(self.library_dir)
        if os.path.basename(library) != NAME:
            yield InvalidRequestError(
                "library_dir is %s." % self.library_dir,
                "Its last part must be %s, because everything else in this directory is removed." % NAME,
            )
        if os.path.commonpath([library, os.path.normpath(self.path)]) == library:
            yield InvalidRequestError("path is %s, which is in library_dir." % self.path)
        if any(character.isspace() for character in self.python):
            yield InvalidRequestError("python is %r; a script's first line can have no spaces there." % self.python)


@dataclass(frozen=True)
class Installation:
    """What was changed, or would be. ``directory`` is that of the installed version, empty if it was removed."""

    directory: str
    differences: tuple[Difference, ...]


def run(request: InstallRequest, files: Mapping[str, bytes], version: str) -> Installation:
    """Install these files of the core, or remove the command. Raises InvalidRequestError or BlksyncError."""
    request.validate()
    try:
        return _install(request, files, version) if request.state == PRESENT else _remove(request)
    except OSError as error:
        raise BlksyncError("The command cannot be installed: %s." % described(error)) from error


def directory_name(files: Mapping[str, bytes], version: str) -> str:
    """The name of a version's directory, which is different for every difference between the files."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(b"%s\0%d\0%s" % (path.encode(), len(content), content))
    return "%s-%s" % (version, digest.hexdigest()[:12])


def _install(request: InstallRequest, files: Mapping[str, bytes], version: str) -> Installation:
    name = directory_name(files, version)
    directory = os.path.join(request.library_dir, name)
    launcher = (LAUNCHER % {"python": request.python, "directory": directory}).encode()
    switch = _launcher(request, tree.wanted_file(launcher, LAUNCHER_MODE))
    below = {"%s/%s" % (name, path): content for path, content in files.items()}
    found = tree.differences(tree.observe(request.library_dir), tree.wanted(below))
    ours = [each for each in found if each.path in ("", name) or each.path.startswith(name + "/")]
    # A process that has read the former launcher needs the former version until it has imported all of it.
    others = [] if is_running(request.path) else [each for each in found if each not in ours]
    if not request.check:
        tree.remove(request.library_dir, ours)
        tree.write(request.library_dir, ours, below)
        if switch:
            atomic_file.replace(request.path, launcher, LAUNCHER_MODE)
            os.chown(request.path, tree.OWNER, tree.GROUP)
        tree.remove(request.library_dir, others)
    return Installation(directory, (*switch, *_absolute(request, [*ours, *others])))


def _remove(request: InstallRequest) -> Installation:
    launcher = _launcher(request, "")
    found = tree.differences(tree.observe(request.library_dir), {})
    if not request.check:
        if launcher:
            atomic_file.remove(request.path)
        tree.remove(request.library_dir, found)
    return Installation("", (*launcher, *_absolute(request, found)))


def _launcher(request: InstallRequest, after: str) -> tuple[Difference, ...]:
    """How the launcher differs from what it must be."""
    before = tree.observe_entry(request.path)
    return (Difference(request.path, before, after),) if before != after else ()


def _absolute(request: InstallRequest, found: Sequence[Difference]) -> list[Difference]:
    return [replace(each, path=tree.join(request.library_dir, each.path)) for each in found]
