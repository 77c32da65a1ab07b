# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of things that take long to build, each named by a hash of everything it is made from."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .host import run

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Return the cache directory: $BLKSYNC_VM_CACHE, else .cache/vm in the repository (ignored by Git)."""
    directory = Path(os.environ.get("BLKSYNC_VM_CACHE") or REPOSITORY / ".cache" / "vm").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def content_key(*parts: Any) -> str:
    """Return 12 hex digits that stand for the contents of `parts` (whatever json can write)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the directory KIND-KEY of the cache, filled by `build` if it is not there yet.

    `build` gets an empty directory that is renamed when it is complete, so that an interrupted build leaves nothing
    that looks finished. Directories of the same kind and another key are outdated and removed.
    """
    finished = cache_dir() / f"{kind}-{key}"
    with _locked(kind):
        if not finished.exists():
            building = finished.with_suffix(".building")
            for interrupted in cache_dir().glob(f"{kind}-*.building"):
                _remove(interrupted)
            building.mkdir()
            build(building)
            for outdated in cache_dir().glob(f"{kind}-*"):
                if outdated != building:
                    _remove(outdated)
            building.rename(finished)
    return finished


def _remove(directory: Path) -> None:
    """Remove a directory; what an interrupted build left mounted in it, such as /proc, is unmounted first."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount_point in reversed([mount for mount in mounts if mount.startswith(f"{directory}/")]):
        run("umount", mount_point)
    if directory.exists():
        shutil.rmtree(directory)


def source_key(*names: str) -> str:
    """Return a hash of the code in files beside this one; comments, docstrings and layout do not count."""
    return content_key(*(_code(Path(__file__).with_name(name).read_text()) for name in names))


def _code(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.dump(tree)


@contextmanager
def _locked(kind: str) -> Iterator[None]:
    """Let one process at a time build things of one kind."""
    with (cache_dir() / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
