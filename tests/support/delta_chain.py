# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source, its digest, and a copy elsewhere that deltas keep equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blksync.deltas import apply as delta_apply
from blksync.deltas import create as delta_create
from blksync.discovery.model import Machine
from blksync.options import DeltaRequest

from .disks import MIB

SIZE = 2 * MIB + 4096 * 3 + 100


class Chain:
    """A source with its digest, and a copy of it elsewhere."""

    def __init__(self, directory: Path, content: bytes) -> None:
        self.source, self.copy = directory / "source.img", directory / "copy.img"
        self.digest, self.delta = directory / "state.digest", directory / "next.delta"
        self.source.write_bytes(content)

    def create(self, **options: Any) -> dict[str, Any]:
        request = DeltaRequest(str(self.source), str(self.delta), str(self.digest), **options)
        return delta_create.run(request, lambda: Machine(())).as_dict()

    def apply(self, delta: Path | None = None, **options: Any) -> dict[str, Any]:
        request = DeltaRequest(str(self.copy), str(delta or self.delta), **{"create": True, **options})
        return delta_apply.run(request, lambda: Machine(())).as_dict()

    def take_away(self, number: int | None = None) -> Path:
        """Move the delta and its manifest to a place of their own, or remove them."""
        kept = self.delta.with_name(f"delta-{number}")
        for suffix in ("", ".json"):
            path = Path(f"{self.delta}{suffix}")
            path.rename(f"{kept}{suffix}") if number is not None else path.unlink()
        return kept

    def step(self, number: int | None = None) -> Path:
        self.create()
        if number is None:
            self.apply()
            assert self.copy.read_bytes() == self.source.read_bytes()
        return self.take_away(number)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
