# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that may hold any byte of a name, label or serial number, on its way out of the core."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.cli import messages, results
from blksync.cli.disks import disk_lines
from blksync.cli.format import align
from blksync.errors import BlksyncError, InvalidRequestError, JobError, Refusal, RefusedError
from blksync.jobs import config
from blksync.options import ImageRequest
from blksync.records import run as runs
from blksync.text import cleaned, human_bytes, printable
from tests.support.machines import disk, mount, partition

HOSTILE = "\udcff\x00\x1b[31m\n\x9f\ud800"
SHOWN = r"\xff\x00\x1b[31m\x0a\x9f\ud800"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a b", "/a b"),
        ("/é€😀", "/é€😀"),
        ("/caf\udce9\udcff", r"/caf\xe9\xff"),
        ("a\tb", r"a\x09b"),
        (HOSTILE, SHOWN),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.binary())
def test_any_bytes_become_text_that_is_encodable(data: bytes) -> None:
    shown = printable(os.fsdecode(data))
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert not any(ord(character) < 32 for character in shown)


def test_cleaned_goes_through_everything_and_keeps_lines() -> None:
    data = {"k\udcff": ["a\nb\tc", ("\x00", None)], "n": 1, "f": 1.5, "b": True}
    assert cleaned(data) == {r"k\xff": ["a\nb\tc", [r"\x00", None]], "n": 1, "f": 1.5, "b": True}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
        max_leaves=10,
    )
)
def test_cleaned_data_is_strict_json_in_utf8(data: Any) -> None:
    text = json.dumps(cleaned(data), ensure_ascii=False)
    assert json.loads(text.encode("utf-8")) == cleaned(data)


def test_an_errors_text_is_one_printable_line() -> None:
    error = BlksyncError("Cannot open %s." % HOSTILE, "Look at %s." % HOSTILE)
    assert str(error) == "Cannot open %s. Look at %s." % (SHOWN, SHOWN)
    refused = RefusedError((Refusal("code", "%s is mounted." % HOSTILE),))
    assert str(refused) == "Refused, nothing was written: %s is mounted." % SHOWN


def test_a_line_of_the_history_is_strict_json() -> None:
    run = runs.Run(1.0, "disk_sync", "serial:%s" % HOSTILE, end=2.0, serial=HOSTILE, model=HOSTILE)
    line = runs.to_line(run)
    assert r"\ud" not in line.replace(r"\\ud800", "")
    assert runs.from_line(line) is not None


def test_the_command_prints_any_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    messages.say(HOSTILE)
    messages.say_json({"label": HOSTILE})
    messages.complain(RefusedError((Refusal("code", HOSTILE, HOSTILE),)))
    messages.complain(JobError(HOSTILE, (HOSTILE,)))
    printed = capsys.readouterr()
    for text in printed:
        text.encode("utf-8")
        assert "\x1b" not in text
    assert r"\xff\x00" in printed.out


def test_a_table_has_one_line_for_each_row() -> None:
    assert align([("A", "B"), ("x\ny", "z")]) == ["A       B", r"x\x0ay  z"]


def test_disks_with_hostile_names_keep_their_lines() -> None:
    mounted = partition("sda", 1, 8, label=HOSTILE, mounts=(mount("8:1", "/" + HOSTILE),))
    lines = disk_lines([disk("sda", 8, "11111111", mounted, serial=HOSTILE, model=HOSTILE)])
    assert len(lines) == 3
    assert all(SHOWN in line for line in lines[1:])
    assert SHOWN in results.disk_name(disk("sda", 8, "11111111", model=HOSTILE, serial=None))


@pytest.mark.parametrize("value", ["/a\x00b", "/a\ud800"])
def test_a_path_that_no_file_can_have_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="no file can have"):
        ImageRequest(value, "/b").validate()


def test_control_characters_in_a_job_are_refused() -> None:
    text = json.dumps({"version": 1, "name": "x", "source": "serial:a\x00b", "targets": [{"identifier": "22222222"}]})
    with pytest.raises(JobError, match="control characters"):
        config.parse(text, "x.json")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_human_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text
