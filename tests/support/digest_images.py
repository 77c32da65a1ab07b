# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source file and a target image to sync with a digest, many times."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blksync.discovery.model import Machine
from blksync.options import ImageRequest
from blksync.sync import image_sync
from blksync.sync.monitor import Progress

from .blocksync_program import PROGRAM
from .disks import MIB

SIZE = 16 * MIB + 3 * 512


@contextlib.contextmanager
def on_disk() -> Iterator[Path]:
    """A directory that is in no tmpfs: there no digest is used."""
    with tempfile.TemporaryDirectory(prefix="blksync-", dir="/var/tmp") as directory:
        yield Path(directory)


class Images:
    """Two files of SIZE random bytes, and a directory for digests. A machine without disks: files need none."""

    def __init__(self, directory: Path, target: Path | None = None) -> None:
        self.source, self.target = directory / "source.img", target or directory / "target.img"
        self.directory = directory / "digests"
        self.source.write_bytes(os.urandom(SIZE))
        self.target.write_bytes(os.urandom(SIZE))

    def sync(self, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
        """One sync to its end, which leaves equal files; skips the test where the engine is missing."""
        request = ImageRequest(**self.options(**options))
        if request.engine == "blocksync_fast" and not PROGRAM:
            pytest.skip("blocksync-fast is not installed")
        result = image_sync.run(request, progress, lambda: Machine(())).as_dict()
        assert request.check or self.target.read_bytes() == self.source.read_bytes()
        return result

    def options(self, **options: Any) -> dict[str, Any]:
        """What a sync is asked for."""
        ends = {"source": str(self.source), "target": str(self.target)}
        return {**ends, "engine": "native", "digest_dir": str(self.directory), **options}

    def digest(self) -> Path:
        """The one digest in the directory."""
        (path,) = self.directory.glob("*.digest")
        return path

    def record(self) -> Path:
        """What is recorded beside the digest."""
        return Path(f"{self.digest()}.json")

    def edit_record(self, **fields: Any) -> None:
        """Change fields of the record; those of the key one by one."""
        record = json.loads(self.record().read_text())
        key = {**record["key"], **fields.pop("key", {})}
        self.record().write_text(json.dumps({**record, **fields, "key": key}))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Write a few bytes into a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def used(result: dict[str, Any]) -> bool:
    """Whether the digest was used."""
    (pair,) = result["partitions"]
    return bool(pair["digest"]["used"])


def reason(result: dict[str, Any]) -> str:
    """The code of why the digest was not used, "" if it was; a note gives the reason in words."""
    (pair,) = result["partitions"]
    given = pair["digest"]["reason"]
    assert bool(given) is not pair["digest"]["used"]
    if not given:
        return ""
    assert given["message"] in pair["notes"][-1]
    return str(given["code"])
