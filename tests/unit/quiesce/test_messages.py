# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of the sync and its guardian come back as they were, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blksync.quiesce.identity import Identity
from blksync.quiesce.messages import (
    _FIELDS,
    Done,
    End,
    Failed,
    Hello,
    MalformedMessageError,
    Message,
    Prepare,
    Quiesce,
    Records,
    Restore,
    Restored,
    decode,
    encode,
)
from blksync.quiesce.runner import Failure
from blksync.quiesce.step import Step, StepRecord, StepReport
from tests.support.machines import mount

STEPS = (
    Step("journal"),
    Step(
        "freeze", "/dev/sda2", "8:2", "8:2", "ext4", (mount("8:2", "/mnt/\udcff a"),), "busy", Identity(7, 0, 512, "ab")
    ),
)
RECORDS = (StepRecord(STEPS[0], "relinquished", 1.0), StepRecord(STEPS[1], "frozen", 2.0, 3.5, 2.25, 3.25))
MESSAGES = [
    Prepare(STEPS),
    Quiesce(STEPS, 3600.0),
    Restore(),
    End(),
    Hello(4711, ("It could not be locked in memory.",)),
    Records(RECORDS),
    Done(),
    Done("There is no state file."),
    Failed("restore", "No.", "Run: this", (StepReport("/dev/sda2", "ext4", ["/", "/home"], "frozen", 1.5, 0.5),)),
    Restored(RECORDS, (Failure("No.", "Run: this", "8:2", gone=True),), "somebody wrote"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_there_is_an_example_of_each_message() -> None:
    assert {type(message) for message in MESSAGES} == set(_FIELDS)


def test_the_identity_of_a_step_comes_back_too() -> None:
    """Two steps are equal without it."""
    decoded = decode(encode(Prepare(STEPS)))
    assert isinstance(decoded, Prepare)
    assert [step.identity for step in decoded.steps] == [None, Identity(7, 0, 512, "ab")]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"type": "hallo"}',
        b'{"type": 1}',
        b'{"type": []}',
        b'{"type": "done"}',
        b'{"type": "done", "problem": null}',
        b'{"type": "done", "problem": "", "more": 1}',
        b'{"type": "hello", "pid": true, "notes": []}',
        b'{"type": "hello", "pid": 1, "notes": "no list"}',
        b'{"type": "hello", "pid": 1, "notes": [1]}',
        b'{"type": "quiesce", "steps": [], "timeout": "1"}',
        b'{"type": "prepare", "steps": [{}]}',
        b'{"type": "prepare", "steps": [1]}',
        b'{"type": "records", "records": [{"step": {}}]}',
        b'{"type": "restored", "records": [], "failures": [[]], "reason": ""}',
        b"[" * 100_000,
    ],
)
def test_a_malformed_line_is_no_message(line: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(line)


@given(message=st.sampled_from(MESSAGES), data=st.data())
def test_a_missing_or_renamed_field_is_noticed(message: Message, data: st.DataObject) -> None:
    fields: dict[str, Any] = json.loads(encode(message))
    name = data.draw(st.sampled_from(sorted(fields)))
    value = fields.pop(name)
    if data.draw(st.booleans()):
        fields[name + "s"] = value
    with pytest.raises(MalformedMessageError):
        decode(json.dumps(fields).encode())
