# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deltas from a source to its copy: chains, what is refused or interrupted, and the real program at either end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blksync.deltas import apply as delta_apply
from blksync.deltas import create as delta_create
from blksync.discovery.model import Machine
from blksync.errors import BlksyncError, DeltaError, FileFormatError, RefusedError
from blksync.options import DeltaRequest
from blksync.system import atomic_file
from blksync.system.device import Device
from tests.support import program_files as program
from tests.support.ansible import run_module
from tests.support.blocksync_program import needs_blocksync_fast
from tests.support.disks import MIB, LoopDevice, run
from tests.support.pairs import noise, with_changes

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


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path, noise(SIZE))


def test_a_chain(chain: Chain, tmp_path: Path) -> None:
    assert chain.create(check=True)["blocks_changed"] == 516
    assert [path.name for path in tmp_path.iterdir()] == ["source.img"]
    first = chain.create()
    assert (first["changed"], first["delta"]["parent"], first["delta"]["blocks"]) == (True, "", 516)
    assert chain.apply(check=True)["changed"]
    assert not chain.copy.exists()
    made = chain.apply()
    assert (made["changed"], made["created"], made["bytes_changed"]) == (True, True, SIZE)
    assert chain.copy.read_bytes() == chain.source.read_bytes()
    again = chain.apply()
    assert (again["changed"], again["created"], again["bytes_changed"]) == (False, False, 0)
    chain.take_away()
    unchanged = chain.create()
    assert (unchanged["changed"], unchanged["delta"]) == (False, None)
    assert not chain.delta.exists()
    chain.source.write_bytes(with_changes(noise(SIZE), [0, MIB, SIZE - 1]))
    assert chain.create(check=True)["bytes_changed"] == 2 * 4096 + 100
    second = chain.create()
    assert (second["delta"]["parent"], second["bytes_changed"]) == (first["delta"]["result"], 2 * 4096 + 100)
    assert chain.apply(check=True)["blocks_changed"] == 3
    applied = chain.apply()
    assert (applied["changed"], applied["blocks_changed"], applied["bytes_changed"]) == (True, 3, 2 * 4096 + 100)
    assert chain.copy.read_bytes() == chain.source.read_bytes()
    assert not chain.apply()["changed"]
    names = ["copy.img", "next.delta", "next.delta.json", "source.img", "state.digest"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_delta_that_nobody_has_taken_away_stays(chain: Chain) -> None:
    first = chain.create()
    chain.source.write_bytes(noise(SIZE, seed=2))
    pending = chain.create()
    assert (pending["changed"], pending["pending"], pending["delta"]) == (False, True, first["delta"])
    assert chain.create(check=True)["pending"]
    chain.apply()
    assert chain.copy.read_bytes() == noise(SIZE)
    chain.take_away()
    chain.step()


def test_deltas_go_in_order_and_once_each(chain: Chain) -> None:
    """Blocks changed by one delta are changed by the others too, so that only their order tells them apart."""
    deltas = []
    for number in range(4):
        chain.source.write_bytes(with_changes(noise(SIZE), [at * MIB + 7 * number for at in (0, 1, 2)]))
        deltas.append(chain.step(number))
    with pytest.raises(RefusedError) as refused:
        chain.apply(deltas[1])
    assert [refusal.code for refusal in refused.value.refusals] == ["parent_missing"]
    chain.apply(deltas[0])
    for delta in (deltas[2], deltas[3]):
        before = chain.copy.read_bytes()
        for check in (True, False):
            with pytest.raises(DeltaError, match="leads from"):
                chain.apply(delta, check=check)
        assert chain.copy.read_bytes() == before
    chain.apply(deltas[1])
    chain.apply(deltas[2])
    before = chain.copy.read_bytes()
    for delta in (deltas[0], deltas[1]):
        with pytest.raises(DeltaError):
            chain.apply(delta)
    assert not chain.apply(deltas[2])["changed"]
    assert chain.copy.read_bytes() == before
    chain.apply(deltas[3])
    assert chain.copy.read_bytes() == chain.source.read_bytes()


def test_a_delta_for_another_image(chain: Chain, tmp_path: Path) -> None:
    chain.step()
    (tmp_path / "other").mkdir()
    other = Chain(tmp_path / "other", noise(SIZE, seed=2))
    other.step()
    chain.source.write_bytes(with_changes(noise(SIZE), [5]))
    chain.create()
    with pytest.raises(DeltaError, match="another image"):
        other.apply(chain.delta)
    chain.digest.unlink()
    chain.take_away()
    chain.create()  # now of everything
    with pytest.raises(DeltaError, match="begins a chain"):
        other.apply(chain.delta)
    assert other.copy.read_bytes() == noise(SIZE, seed=2)
    other.copy.write_bytes(noise(SIZE + 512))
    with pytest.raises(RefusedError, match="delta is for"):
        other.apply(chain.delta)


def edit_frame(chain: Chain, **fields: Any) -> None:
    path = Path(f"{chain.delta}.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda chain: os.truncate(chain.delta, 512 + 4104),
            "bytes of",
        ),  # between two records, which the program takes
        (lambda chain: os.truncate(chain.delta, 512), "bytes of"),
        (lambda chain: os.truncate(chain.delta, 700), "whole number of blocks"),
        (lambda chain: os.truncate(chain.delta, 0), "less than a header"),
        (lambda chain: flip(chain.delta, 5000), "not what was made"),
        (lambda chain: flip(chain.delta, 50), "not what was made"),  # the time
        (lambda chain: Path(f"{chain.delta}.json").unlink(), "no readable manifest"),
        (lambda chain: Path(f"{chain.delta}.json").write_text("{}"), "no manifest"),
        (lambda chain: Path(f"{chain.delta}.json").write_text("[1]"), "no manifest"),
        (lambda chain: edit_frame(chain, format=2), "this version"),
        (lambda chain: edit_frame(chain, length="1"), "this version"),
        (lambda chain: edit_frame(chain, result="0" * 64), "leads from|holds everything"),
        (lambda chain: edit_frame(chain, parent="0" * 64), "leads from"),
        (lambda chain: edit_frame(chain, algorithm="CRC32"), "32 bits"),
        (lambda chain: edit_frame(chain, algorithm="SHA3_256"), "leads from"),
        (lambda chain: edit_frame(chain, block_size=8192), "its manifest says"),
        (lambda chain: edit_frame(chain, data_size=5), "its manifest says"),
    ],
)
def test_a_delta_that_is_not_what_was_made_writes_nothing(
    chain: Chain, damage: Callable[[Chain], object], words: str
) -> None:
    chain.step()
    chain.source.write_bytes(with_changes(noise(SIZE), [0, MIB, SIZE - 1]))
    chain.create()
    damage(chain)
    for check in (True, False):
        with pytest.raises(BlksyncError, match=words):
            chain.apply(check=check)
    assert chain.copy.read_bytes() == noise(SIZE)


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"digest": "relative"}, "absolute"),
        ({"digest": ""}, "absolute"),
        ({"block_size": 5}, "4096"),
        ({"algorithm": "CRC32"}, "choose one of auto, XXH128"),
        ({"quiesce_timeout": 0}, "at least 1"),
    ],
)
def test_requests_without_sense(chain: Chain, options: dict[str, Any], words: str) -> None:
    values = {"digest": str(chain.digest), **options}
    with pytest.raises(BlksyncError, match=words):
        delta_create.run(DeltaRequest(str(chain.source), str(chain.delta), **values), lambda: Machine(()))
    assert [path.name for path in chain.source.parent.iterdir()] == ["source.img"]


@needs_blocksync_fast
@pytest.mark.parametrize("block", [512, 1000, 4096, 65536])
def test_the_programs_digest_begins_a_chain_and_the_program_applies_our_delta(chain: Chain, block: int) -> None:
    program.make_digest(chain.source, chain.digest, "XXH128", block)
    shutil.copy(chain.source, chain.copy)
    their_copy = chain.copy.with_name("theirs.img")
    shutil.copy(chain.source, their_copy)
    chain.source.write_bytes(with_changes(noise(SIZE), [0, MIB, SIZE - 1]))
    their_digest = chain.digest.with_name("theirs.digest")
    their_delta = chain.delta.with_name("theirs.delta")
    shutil.copy(chain.digest, their_digest)
    made = chain.create()
    assert made["delta"]["block_size"] == block
    assert program.make_delta(chain.source, their_digest, their_delta) == made["delta"]["blocks"]
    assert program.without_time(their_delta.read_bytes()) == program.without_time(chain.delta.read_bytes())
    assert program.without_time(their_digest.read_bytes()) == program.without_time(chain.digest.read_bytes())
    assert program.apply_delta(their_copy, chain.delta) == made["delta"]["blocks"]
    assert their_copy.read_bytes() == chain.source.read_bytes()
    chain.apply()
    assert chain.copy.read_bytes() == chain.source.read_bytes()


@needs_blocksync_fast
def test_a_weak_digest_of_the_program_is_refused(chain: Chain) -> None:
    program.make_digest(chain.source, chain.digest, "XXH3LOW", 4096)
    with pytest.raises(BlksyncError, match="overlook"):
        chain.create()
    program.make_digest(chain.source, chain.digest.with_name("d"), "XXH128", 4096)
    os.truncate(chain.source, SIZE + 512)
    chain.digest = chain.digest.with_name("d")
    with pytest.raises(FileFormatError, match="begin a new chain"):
        chain.create()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    changes=st.lists(st.sets(st.integers(0, 20), max_size=6), min_size=1, max_size=3),
    tail=st.integers(0, 4095),
    block=st.sampled_from([4096, 16384]),
)
def test_any_chain_ends_equal(tmp_path: Path, changes: list[set[int]], tail: int, block: int) -> None:
    directory = tmp_path / "any"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    size = 20 * 4096 + tail
    chain = Chain(directory, noise(size))
    chain.create(block_size=block)
    chain.apply()
    chain.take_away()
    for blocks in changes:
        chain.source.write_bytes(with_changes(chain.source.read_bytes(), [min(n * 4096, size - 1) for n in blocks]))
        if chain.create()["changed"]:
            assert chain.apply()["changed"]
            chain.take_away()
        assert chain.copy.read_bytes() == chain.source.read_bytes()


@pytest.mark.needs("root", "loop-devices", "mkfs.ext4")
def test_the_module_with_a_device_that_is_in_use(tmp_path: Path) -> None:
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    with LoopDevice(16 * MIB) as device, LoopDevice(16 * MIB) as other:
        run("mkfs.ext4", "-q", device.path)
        files: dict[str, Any] = {"digest": str(tmp_path / "digest"), "delta": str(tmp_path / "delta")}
        create = {"state": "created", "image": device.path, **files}
        apply = {"state": "applied", "image": other.path, "delta": files["delta"]}
        delta_create.run(DeltaRequest(device.path, **files))
        run("dd", f"if={device.path}", f"of={other.path}", "bs=1M", "conv=fsync", "status=none")
        for name in ("delta", "delta.json"):
            (tmp_path / name).unlink()
        run("mount", device.path, str(mountpoint))
        try:
            (mountpoint / "file").write_bytes(noise(MIB))
            with pytest.raises(RefusedError) as inside:
                delta_create.run(DeltaRequest(device.path, str(mountpoint / "delta"), files["digest"]))
            assert [refusal.code for refusal in inside.value.refusals] == ["digest_dir_quiesced"]
            made = run_module("image_delta", create)
            assert made["changed"], made
            assert made["quiesce"]
            (mountpoint / "file").touch()  # it is writable again
        finally:
            run("umount", str(mountpoint))
        applied = run_module("image_delta", apply)
        assert applied["changed"], applied
        assert not run_module("image_delta", apply)["changed"]
        run("blockdev", "--flushbufs", other.path)
        run("e2fsck", "-fp", other.path)
        run("mount", "-o", "ro", other.path, str(mountpoint))
        try:
            assert (mountpoint / "file").read_bytes() == noise(MIB)
        finally:
            run("umount", str(mountpoint))
        missing = run_module("image_delta", {"state": "created", "image": device.path, "delta": files["delta"]})
        assert "digest" in missing["msg"]
