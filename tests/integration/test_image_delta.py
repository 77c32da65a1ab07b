# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deltas from a source to its copy: chains, what is refused or interrupted, and the real program at either end."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blksync.deltas import create as delta_create
from blksync.discovery.model import Machine
from blksync.engines.rate_limit import RateLimit
from blksync.errors import BlksyncError, DeltaError, FileFormatError, RefusedError
from blksync.options import DeltaRequest
from tests.support import program_files as program
from tests.support.ansible import run_module
from tests.support.blocksync_program import needs_blocksync_fast
from tests.support.delta_chain import SIZE, Chain, flip
from tests.support.disks import MIB, LoopDevice, run
from tests.support.pairs import noise, with_changes


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path, noise(SIZE))


def test_a_limit_holds_for_making_and_applying(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: Counter[str] = Counter()
    for name in ("before_read", "before_write"):

        def counted(_limit: RateLimit, count: int, check: Callable[[], None], name: str = name) -> None:
            check()
            waited[name] += count

        monkeypatch.setattr(RateLimit, name, counted)
    chain.create(rate_limit=MIB)
    assert waited == {"before_read": SIZE, "before_write": SIZE}
    waited.clear()
    chain.apply(rate_limit=MIB)
    # The image is read through, then each block is read, written and read back.
    assert waited == {"before_read": 3 * SIZE, "before_write": SIZE}


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
