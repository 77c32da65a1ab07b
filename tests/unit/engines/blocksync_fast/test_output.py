# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what blocksync-fast prints: what is not understood is an error, never "unchanged"."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.engines.blocksync_fast.buffer import geometry
from blksync.engines.blocksync_fast.output import Ended, Summary, failure, parse_progress, parse_sync, parse_version
from blksync.errors import EngineError

SIZE = 8 * 4096
PLAN = geometry(SIZE, 4096)
ODD_SIZE = 7 * 4096 + 100
ODD_PLAN = geometry(ODD_SIZE, 4096)

HEAD = """\
Operation mode: block-sync
Syncs and flushes data to a disk device defined by the buffer size in bytes
Source device: '/proc/self/fd/5' has size of 32.00 KiB, 32768 bytes
Target device: '/proc/self/fd/6' has size of 32.00 KiB, 32768 bytes
blocksync-fast: Warning: works without digest file.
Works without reads from digest file, data to compare will be read from the destination device
Buffer size: 28.00 KiB, 28672 bytes per device
Block size: 4.00 KiB, 4096 bytes per block out of 8 blocks
"""
PROGRESS = "".join("\rProgress: %d%%" % percent for percent in (12, 25, 37, 50, 62, 75, 87, 100)) + "\n"
LAST = "Updated: 1/8 blocks, 4096/32768 bytes.\n"


def test_a_recorded_run() -> None:
    assert parse_sync(HEAD + PROGRESS + LAST, SIZE, PLAN) == Summary(blocks=1, size=4096)


@pytest.mark.parametrize(
    ("counts", "summary"),
    [
        ("0/8 blocks, 0/32768 bytes", Summary(0, 0)),
        ("8/8 blocks, 32768/32768 bytes", Summary(8, 32768)),
    ],
)
def test_nothing_and_everything(counts: str, summary: Summary) -> None:
    assert parse_sync("Updated: %s.\n" % counts, SIZE, PLAN) == summary


@pytest.mark.parametrize(
    ("counts", "summary"),
    [
        ("0/8 blocks, 0/28772 bytes", Summary(0, 0)),
        ("1/8 blocks, 100/28772 bytes", Summary(1, 100)),
        ("1/8 blocks, 4096/28772 bytes", Summary(1, 4096)),
        ("7/8 blocks, 28672/28772 bytes", Summary(7, 28672)),
        ("8/8 blocks, 28772/28772 bytes", Summary(8, 28772)),
    ],
)
def test_a_short_last_block(counts: str, summary: Summary) -> None:
    assert parse_sync("Updated: %s.\n" % counts, ODD_SIZE, ODD_PLAN) == summary


@pytest.mark.parametrize(
    "counts", ["8/8 blocks, 32768/28772 bytes", "0/8 blocks, 100/28772 bytes", "8/8 blocks, 28672/28772 bytes"]
)
def test_a_short_last_block_has_to_fit(counts: str) -> None:
    with pytest.raises(EngineError, match="do not fit"):
        parse_sync("Updated: %s.\n" % counts, ODD_SIZE, ODD_PLAN)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("", "without its summary"),
        ("\n", "without its summary"),
        (HEAD, "without its summary"),
        (HEAD + PROGRESS, "without its summary"),
        (LAST.rstrip("\n"), "without its summary"),  # cut off
        (LAST + "\n", "without its summary"),
        (LAST + "Warning: additional data found in STDIN.\n", "without its summary"),
        (LAST[:-2] + "\n", "without its summary"),
        (" " + LAST, "without its summary"),
        ("Synced" + LAST[7:], "without its summary"),
        ("updated" + LAST[7:], "without its summary"),
        ("Updated: -1/8 blocks, -4096/32768 bytes.\n", "without its summary"),
        ("Updated: 1/8 blocks, 4096 bytes.\n", "without its summary"),
        ("Updated: 1/8 blocks, 4.0K/32K bytes.\n", "without its summary"),
        ("Updated: \u0661/8 blocks, 4096/32768 bytes.\n", "without its summary"),
        (LAST + LAST, "more than one summary"),
        (LAST.strip() + "\r" + LAST, "without its summary"),
        ("Created: 8/8 blocks, 32/32 bytes.\n" + LAST, "more than one summary"),
        ("Copied" + LAST[7:], "did not compare"),
        ("Created" + LAST[7:], "did not compare"),
        ("Updated: 1/9 blocks, 4096/32768 bytes.\n", "do not fit"),
        ("Updated: 1/8 blocks, 4096/32769 bytes.\n", "do not fit"),
        ("Updated: 9/8 blocks, 36864/32768 bytes.\n", "do not fit"),
        ("Updated: 0/8 blocks, 4096/32768 bytes.\n", "do not fit"),
        ("Updated: 2/8 blocks, 4096/32768 bytes.\n", "do not fit"),
        ("Updated: 1/8 blocks, 0/32768 bytes.\n", "do not fit"),
    ],
)
def test_output_that_is_not_understood(output: str, complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint) as caught:
        parse_sync(output, SIZE, PLAN)
    assert "unknown state" in caught.value.hint


def test_the_error_quotes_the_end_of_the_output_on_one_line() -> None:
    with pytest.raises(EngineError) as caught:
        parse_sync("x" * 1000 + "\x1b[31m\n" + PROGRESS + "last\twords\n", SIZE, PLAN)
    message = caught.value.message
    assert message.endswith('[31m last words".')
    assert len(message) < 600
    assert message.isprintable()


@given(st.text())
def test_garbage_is_never_a_result(output: str) -> None:
    with pytest.raises(EngineError):
        parse_sync(output, SIZE, PLAN)


@given(st.data())
def test_a_damaged_output_is_an_error_or_says_the_same(data: st.DataObject) -> None:
    whole = HEAD + PROGRESS + LAST
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    damaged = whole[:start] + data.draw(st.text(max_size=5)) + whole[end:]
    try:
        summary = parse_sync(damaged, SIZE, PLAN)
    except EngineError:
        return
    assert damaged.endswith("Updated: %d/8 blocks, %d/32768 bytes.\n" % (summary.blocks, summary.size))
    assert summary.size == summary.blocks * 4096


@pytest.mark.parametrize(
    ("output", "percent"),
    [
        ("", -1),
        (HEAD, -1),
        ("\rProgress: 0%", 0),
        ("\rProgress: 57%", 57),
        ("\rProgress: 57%\rProgress: 58%", 58),
        ("\rProgress: 57%\rProgress: 5", 57),
        ("\rProgress: 57.5%", 57.5),
        ("\rProgress: 57.25%", 57.25),
        ("\rProgress: 100%\n" + LAST, 100),
        ("\rProgress: 999%", 100),
        ("\rProgress: -nan%", -1),
        ("Progress: 57%", -1),
    ],
)
def test_progress(output: str, percent: float) -> None:
    assert parse_progress(output) == percent


@given(st.text(max_size=200))
def test_progress_of_garbage(output: str) -> None:
    assert -1 <= parse_progress(output) <= 100


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("blocksync-fast version 1.07, Copyright (C) 2024 Marcin Koczwara <mk@nethorizon.pl>\nLicensed\n", "1.0.7"),
        ("blocksync-fast version 1.0.7, Copyright\n", "1.0.7"),
        ("blocksync-fast version 1.08\n", "1.0.8"),
        ("blocksync-fast version 2.10.3, Copyright\n", "2.10.3"),
        ("blocksync-fast version , Copyright\n", ""),
        ("other version 1.07, Copyright\n", ""),
        ("\nblocksync-fast version 1.07,\n", ""),
        ("", ""),
    ],
)
def test_version(output: str, version: str) -> None:
    assert parse_version(output) == version


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (
            Ended(1, HEAD, "bsf: unable to open\n"),
            'ended with status 1. Its last words: "bsf: unable to open".',
        ),
        (Ended(0, LAST, "bsf: hm"), 'complained. Its last words: "bsf: hm".'),
        (Ended(-signal.SIGKILL, "", ""), "was killed by SIGKILL. Its last words: none."),
        (Ended(-63, "\rProgress: 7%", ""), "was killed by signal 63. Its last words: none."),
        (
            Ended(1, "", "bsf: error while reading from '/proc/self/fd/5' : Input/output error\n"),
            'ended with status 1. Its last words: "bsf: error while reading from /dev/a : Input/output error".',
        ),
    ],
)
def test_failures_in_the_programs_words(ended: Ended, message: str) -> None:
    error = failure(ended, {"/proc/self/fd/5": "/dev/a", "/proc/self/fd/55": "/dev/b"})
    assert error.message == "blocksync-fast " + message
    assert "unknown state" in error.hint
