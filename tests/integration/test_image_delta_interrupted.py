# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deltas that are interrupted while they are created or applied, and sources that are written to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blksync.errors import BlksyncError, DeltaError
from blksync.system import atomic_file
from blksync.system.device import Device
from tests.support.delta_chain import SIZE, Chain, flip
from tests.support.disks import MIB
from tests.support.pairs import noise, with_changes


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path, noise(SIZE))


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_an_interrupted_creation_is_completed(chain: Chain, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """Killed before the manifest, the delta or the digest is in place: the digest never runs ahead of the delta."""
    chain.step()
    chain.source.write_bytes(with_changes(noise(SIZE), [0, MIB]))
    steps: list[tuple[str, ...]] = []

    def interrupted(real: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: str) -> None:
            if len(steps) == moves:
                raise KeyboardInterrupt
            steps.append(arguments)
            real(*arguments)

        return step

    with monkeypatch.context() as patched:
        for name in ("replace", "move"):
            patched.setattr(atomic_file, name, interrupted(getattr(atomic_file, name)))
        with pytest.raises(KeyboardInterrupt):
            chain.create()
    assert chain.create()["pending"] is (moves == 2)
    chain.apply()
    assert chain.copy.read_bytes() == chain.source.read_bytes()
    chain.take_away()
    assert not chain.create()["changed"]


@pytest.mark.parametrize("writes", [0, 1, 3])
@pytest.mark.parametrize("begins", [True, False])
def test_an_interrupted_application_goes_on(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, writes: int, begins: bool
) -> None:
    if not begins:
        chain.step()
        chain.source.write_bytes(with_changes(noise(SIZE), [0, 4096, MIB, SIZE - 1]))
    chain.create()
    real = Device.write
    done: list[int] = []

    def interrupted(self: Device, buffer: memoryview, offset: int) -> None:
        if len(done) == writes:
            real(self, buffer[: len(buffer) // 2], offset)
            raise KeyboardInterrupt
        done.append(offset)
        real(self, buffer, offset)

    with monkeypatch.context() as patched:
        patched.setattr(Device, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chain.apply()
    assert chain.copy.exists() is not begins
    assert chain.apply()["changed"]
    assert chain.copy.read_bytes() == chain.source.read_bytes()
    assert not chain.apply()["changed"]
    assert not [path for path in chain.copy.parent.iterdir() if path.name.startswith(".")]


def test_a_half_applied_image_takes_no_other_delta(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.step()
    deltas = []
    for number in (0, 1):
        chain.source.write_bytes(with_changes(noise(SIZE), [0 + number, MIB + number]))
        deltas.append(chain.step(number))

    def interrupted(_self: Device) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Device, "flush", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chain.apply(deltas[0])
    flip(chain.copy, 0)
    with pytest.raises(DeltaError):
        chain.apply(deltas[1])
    chain.apply(deltas[0])
    chain.apply(deltas[1])
    assert chain.copy.read_bytes() == chain.source.read_bytes()


def test_a_source_that_is_written_to_meanwhile(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.step()
    chain.source.write_bytes(with_changes(noise(SIZE), [0]))
    from blksync.engines.native.engine import NativeEngine

    extract = NativeEngine.extract

    def disturbed(self: NativeEngine, source: Device, *arguments: Any) -> Any:
        outcome = extract(self, source, *arguments)
        os.truncate(chain.source, SIZE)
        return outcome

    with monkeypatch.context() as patched:
        patched.setattr(NativeEngine, "extract", disturbed)
        with pytest.raises(BlksyncError, match="written to while"):
            chain.create()
    assert not chain.delta.exists()
    chain.step()
