# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy, build and install the collection from the files that git tracks or would track, so that litter never gets in.

python -m tests.tooling.collection build      to build/blksync-backup-VERSION.tar.gz
python -m tests.tooling.collection install    to build/collections, unless no file changed, and the sources to
                                              build/ansible_collections/blksync/backup
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tooling.paths import ANSIBLE_BIN, BUILD, COLLECTIONS, ROOT, SOURCE_TREE

STAMP = ".files.sha256"
OUTPUT = Path("tests/output")
"""Where ansible-test writes inside the tree that it looks at."""
NOT_COPIED = (".git", str(OUTPUT))
"""What a copy may have that the sources do not."""


def list_files() -> list[Path]:
    """Return the tracked and the new, not ignored files that exist, relative to the root."""
    # safe.directory: a clone that belongs to somebody else, as under sudo, is fine for listing files.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    paths = sorted({Path(name) for name in names if name})
    return [path for path in paths if (ROOT / path).is_symlink() or (ROOT / path).is_file()]


def copy_sources(tree: Path) -> None:
    """Make a tree equal to the sources; files that did not change keep their time stamps, so that caches stay valid."""
    wanted = list_files()
    keep = {tree / path for path in wanted}
    for path in wanted:
        source, copy = ROOT / path, tree / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not _same(source, copy):
            copy.unlink(missing_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    for directory, _dirs, names in os.walk(tree, topdown=False):
        if any(Path(directory).is_relative_to(tree / name) for name in NOT_COPIED):
            continue
        for name in names:
            if Path(directory, name) not in keep:
                Path(directory, name).unlink()
        if not os.listdir(directory):
            os.rmdir(directory)


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or not other.is_file() or other.is_symlink():
        return False
    return one.stat().st_mode == other.stat().st_mode and one.read_bytes() == other.read_bytes()


def build(output: Path) -> Path:
    """Build the tarball into a directory and return its path."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="sources-") as tree:
        copy_sources(Path(tree))
        _galaxy("build", "--force", "--output-path", output, tree)
    return max(output.glob("blksync-backup-*.tar.gz"), key=lambda path: path.stat().st_mtime_ns)


def install() -> None:
    """Install the collection into COLLECTIONS, unless the same files already are."""
    digest = _digest_files()
    stamp = COLLECTIONS / STAMP
    if stamp.is_file() and stamp.read_text() == digest:
        return
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="install-") as scratch:
        fresh, stale = Path(scratch, "fresh"), Path(scratch, "stale")
        _galaxy("install", "--offline", "--no-deps", "--collections-path", fresh, build(Path(scratch)))
        (fresh / STAMP).write_text(digest)
        if COLLECTIONS.exists():
            COLLECTIONS.rename(stale)
        fresh.rename(COLLECTIONS)


def _digest_files() -> str:
    digest = hashlib.sha256()
    for path in list_files():
        content = os.readlink(ROOT / path).encode() if (ROOT / path).is_symlink() else (ROOT / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _galaxy(action: str, *arguments: str | Path) -> None:
    command = [str(ANSIBLE_BIN / "ansible-galaxy"), "collection", action, *(str(argument) for argument in arguments)]
    # What is installed anywhere already, even the same version, is of no interest here.
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "nothing-here")}
    run = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if run.returncode:
        sys.exit(run.stdout)


@contextmanager
def locked() -> Iterator[None]:
    """Keep other builds in this clone waiting."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(action: str) -> None:
    """Do what the command line asks for."""
    with locked():
        if action == "build":
            print(build(BUILD))
        elif action == "install":
            install()
            copy_sources(SOURCE_TREE)
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or [""])
