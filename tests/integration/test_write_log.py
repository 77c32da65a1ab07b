# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The write log: a target that does not keep what was written to it is found out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from blksync.engines.base import CopyOptions
from blksync.engines.monitor import Monitor
from blksync.engines.native.engine import NativeEngine
from blksync.engines.range_map import Layout
from blksync.engines.write_log import WriteLog
from blksync.errors import CancelledError, DeviceReadError, VerificationError
from blksync.ranges import Extent, Range, whole
from blksync.system import device
from blksync.system.device import Device
from tests.support.pairs import engine_threads, noise, with_changes

BLOCK = 4096
WINDOW = 8 * BLOCK
SIZE = 100 * BLOCK + 300
WRITTEN = [3, 4, 40, 41, 99, 100]  # blocks


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Device]:
    """An image file, open."""
    path = tmp_path / "target.img"
    path.write_bytes(with_changes(noise(SIZE), [block * BLOCK for block in WRITTEN]))
    with device.claim_target(str(path)) as opened:
        yield opened


def copy(tmp_path: Path, target: Device, verify: str, ranges: tuple[Range, ...] = whole(SIZE)) -> WriteLog:
    source_path = tmp_path / "source.img"
    source_path.write_bytes(noise(SIZE))
    with device.open_source(str(source_path)) as source:
        outcome = NativeEngine(WINDOW).copy(source, target, ranges, Monitor(), CopyOptions(verify=verify))
    source_path.unlink()  # the target alone must do
    assert outcome.write_log
    return outcome.write_log


def damage(target: Device, offset: int) -> None:
    """Change one byte behind everybody's back."""
    content = bytearray(Path(target.path).read_bytes())
    content[offset] ^= 1
    Path(target.path).write_bytes(content)


def test_only_what_was_written_is_read_again(tmp_path: Path, target: Device) -> None:
    log = copy(tmp_path, target, "auto")
    damage(target, 50 * BLOCK)
    assert log.verify(target, Monitor()) == 5 * BLOCK + 300
    assert log.verify(target, Monitor()) == 5 * BLOCK + 300


@pytest.mark.parametrize(
    ("offset", "first", "last"),
    [
        (3 * BLOCK, 3 * BLOCK, 5 * BLOCK - 1),
        (41 * BLOCK + 4095, 40 * BLOCK, 42 * BLOCK - 1),
        (SIZE - 1, 99 * BLOCK, SIZE - 1),
    ],
)
def test_a_byte_that_was_not_kept_is_found(tmp_path: Path, target: Device, offset: int, first: int, last: int) -> None:
    log = copy(tmp_path, target, "auto")
    damage(target, offset)
    with pytest.raises(VerificationError, match=f"between byte {first} and byte {last}") as caught:
        log.verify(target, Monitor())
    assert "replace it" in caught.value.hint


def test_a_full_log_covers_every_byte_of_the_ranges(tmp_path: Path, target: Device) -> None:
    ranges = (Range(0, 10 * BLOCK), Range(20 * BLOCK, SIZE - 20 * BLOCK))
    log = copy(tmp_path, target, "full", ranges)
    damage(target, 15 * BLOCK)  # outside the ranges
    assert log.verify(target, Monitor()) == SIZE - 10 * BLOCK
    damage(target, 50 * BLOCK)
    with pytest.raises(VerificationError):
        log.verify(target, Monitor())


def test_a_target_that_cannot_be_read_is_an_error_of_reading(tmp_path: Path, target: Device) -> None:
    log = copy(tmp_path, target, "auto")
    with open(target.path, "r+b") as file:
        file.truncate(40 * BLOCK + 512)
    with pytest.raises(DeviceReadError, match=f"at byte {40 * BLOCK + 512}"):
        log.verify(target, Monitor())
    assert not engine_threads()


class Impatient(Monitor):
    """Cancels at once."""

    def advanced(self, compared: int, changed: int) -> None:
        raise CancelledError("enough")


def test_verification_can_be_cancelled(tmp_path: Path, target: Device) -> None:
    log = copy(tmp_path, target, "full")
    with pytest.raises(CancelledError):
        log.verify(target, Impatient())
    assert not engine_threads()


@given(
    blocks=st.sets(st.integers(0, 100), min_size=1),
    gap=st.integers(0, 30),
    most_units=st.sampled_from([1, 10, 30, 1000]),
    most_segments=st.sampled_from([1, 3, 1000]),
    wrong=st.data(),
)
@example(blocks={99, 100}, gap=1, most_units=1, most_segments=1, wrong=None)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_limits_of_memory_make_it_coarser_and_never_blind(
    target: Device,
    blocks: set[int],
    gap: int,
    most_units: int,
    most_segments: int,
    wrong: st.DataObject | None,
) -> None:
    """Whatever units and segments a huge pair would get: every recorded byte counts."""
    content = noise(SIZE)
    Path(target.path).write_bytes(content)
    ranges = [Range(0, 35 * BLOCK), Range((35 + gap) * BLOCK, SIZE - (35 + gap) * BLOCK)]
    layout = Layout(ranges, SIZE, BLOCK, WINDOW)
    log = WriteLog(layout, most_units, most_segments)
    places = [at for at in range(0, layout.length, BLOCK) if at // BLOCK in blocks] or [0]
    for position, length in layout.windows():
        extents = layout.extents(position, length)
        data = b"".join(content[extent.offset : extent.offset + extent.length] for extent in extents)
        inside = [at for at in places if position <= at < position + length]
        changed = [Extent(at - position, min(BLOCK, position + length - at)) for at in inside]
        if changed:
            log.record(position, memoryview(data), changed)
    log.seal()
    assert not log.empty
    assert log.verify(target, Monitor()) >= sum(min(BLOCK, layout.length - at) for at in places)
    if wrong is not None:
        extent = layout.extents(wrong.draw(st.sampled_from(places)), 1)[0]
        damage(target, extent.offset)
        with pytest.raises(VerificationError):
            log.verify(target, Monitor())
