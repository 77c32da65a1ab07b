# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps in order, undone in reverse, with a record that is ahead of every deed."""

from __future__ import annotations

from typing import Any

import pytest

from blksync.errors import QuiesceError, RestoreError
from blksync.quiesce import runner
from blksync.quiesce.actions.base import Action, NotPossibleError
from blksync.quiesce.runner import Execution
from blksync.quiesce.step import Step, StepRecord

FIRST, SECOND = Step("fake", "/dev/one"), Step("fake", "/dev/two")


class FakeAction(Action):
    """Notes what is asked of it, and fails where ``failing`` says so."""

    action = "held"
    log: list[str] = []  # noqa: RUF012  # one for all, emptied before each test
    failing: dict[str, Exception] = {}  # noqa: RUF012
    disturbed: dict[str, str] = {}  # noqa: RUF012

    def prepare(self) -> None:
        self._note("prepare")

    def do(self) -> None:
        self._note("do")

    def undo(self) -> str:
        self._note("undo")
        return self.disturbed.get(self.step.device, "")

    def _note(self, what: str) -> None:
        deed = "%s %s %s" % (self.action, what, self.step.device)
        self.log.append(deed)
        if deed in self.failing:
            raise self.failing[deed]


class FakeLastResort(FakeAction):
    action = "last resort"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(runner._ACTIONS, "fake", (FakeAction, FakeLastResort))
    monkeypatch.setitem(runner._BY_NAME, "held", FakeAction)
    monkeypatch.setitem(runner._BY_NAME, "last resort", FakeLastResort)
    FakeAction.log.clear()
    FakeAction.failing.clear()
    FakeAction.disturbed.clear()
    return FakeAction.log


def recording(log: list[str]) -> Execution:
    def record(records: list[StepRecord]) -> None:
        log.append("record " + "+".join("%s %s" % (entry.action, entry.step.device) for entry in records))

    return Execution(record)


def test_the_record_is_ahead_of_every_deed_and_undoing_goes_backwards(log: list[str]) -> None:
    run = recording(log)
    run.carry_out([FIRST, SECOND])
    assert run.undo() == []
    assert log == [
        "held prepare /dev/one",
        "held prepare /dev/two",
        "record held /dev/one",
        "held do /dev/one",
        "record held /dev/one+held /dev/two",
        "held do /dev/two",
        "held undo /dev/two",
        "held undo /dev/one",
        "record ",
    ]
    assert run.undo() == []
    assert log[-1] == "record "


def test_what_is_not_possible_is_tried_in_the_next_way_and_never_undone_in_the_first(log: list[str]) -> None:
    FakeAction.failing["held do /dev/one"] = NotPossibleError("no")
    run = recording(log)
    run.carry_out([FIRST])
    assert [entry.action for entry in run.records] == ["last resort"]
    run.undo()
    assert "held undo /dev/one" not in log
    assert "last resort undo /dev/one" in log


@pytest.mark.parametrize(
    ("error", "raised"),
    [(QuiesceError("no"), QuiesceError), (OSError(5, "no"), QuiesceError), (RestoreError("no"), RestoreError)],
)
def test_a_failure_undoes_all_that_was_done_before(log: list[str], error: Exception, raised: type[Exception]) -> None:
    FakeAction.failing["held do /dev/two"] = error
    with pytest.raises(raised):
        recording(log).carry_out([FIRST, SECOND])
    assert "held undo /dev/one" in log
    # Frozen by somebody else: whoever did not freeze must not thaw.
    assert ("held undo /dev/two" in log) == (not isinstance(error, QuiesceError))


def test_nothing_is_done_where_preparing_fails(log: list[str]) -> None:
    FakeAction.failing["held prepare /dev/two"] = QuiesceError("no")
    with pytest.raises(QuiesceError):
        recording(log).carry_out([FIRST, SECOND])
    assert not [line for line in log if " do " in line]


def test_what_cannot_be_undone_is_reported_and_the_others_are_undone_all_the_same(log: list[str]) -> None:
    FakeAction.failing["held undo /dev/two"] = RestoreError("No.", "Run: this")
    run = recording(log)
    run.carry_out([FIRST, SECOND])
    (failure,) = run.undo()
    assert (failure.message, failure.hint) == ("No.", "Run: this")
    assert "held undo /dev/one" in log
    assert log[-1] == "record held /dev/two"
    FakeAction.failing.clear()
    assert run.undo() == []  # a second attempt may succeed


def test_what_did_not_hold_still_is_undone_and_reported_once(log: list[str]) -> None:
    FakeAction.disturbed["/dev/one"] = "somebody wrote"
    run = recording(log)
    run.carry_out([FIRST, SECOND])
    assert (run.undo(), run.disturbances) == ([], ["somebody wrote"])
    assert (run.undo(), run.disturbances) == ([], [])


def test_how_long_writers_waited_in_vain_is_reported(log: list[str]) -> None:
    class FakeFreeze(FakeAction):
        def do(self) -> None:
            self.stopped, self.resumed = 1.0, 3.5
            super().do()

        def undo(self) -> str:
            self.resumed = 9.0
            return super().undo()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeFreeze, "action", "frozen")
        patch.setitem(runner._ACTIONS, "fake", (FakeFreeze,))
        patch.setitem(runner._BY_NAME, "frozen", FakeFreeze)
        FakeAction.failing["frozen do /dev/two"] = QuiesceError("no")
        run = recording(log)
        with pytest.raises(QuiesceError):
            run.carry_out([FIRST, SECOND])
    waits = [(entry.device, entry.frozen_seconds) for entry in run.waits()]
    assert waits == [("/dev/one", 8.0), ("/dev/two", 2.5)]
    run.carry_out([])
    assert run.waits() == []


def test_every_way_fails(log: list[str]) -> None:
    failing: dict[str, Any] = {"held do /dev/one": "busy", "last resort do /dev/one": "busy as well"}
    FakeAction.failing.update({deed: NotPossibleError(why) for deed, why in failing.items()})
    with pytest.raises(QuiesceError, match="busy, busy as well"):
        recording(log).carry_out([FIRST])


NESTED = Step("fake", "/dev/one", nested=True)


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        ("held prepare /dev/one", QuiesceError("It is broken.")),
        ("held do /dev/one", QuiesceError("It is broken.")),
        ("held do /dev/one", NotPossibleError("it is busy")),
    ],
)
def test_what_is_nested_may_fail_and_is_tried_in_one_way_only(log: list[str], deed: str, error: Exception) -> None:
    FakeAction.failing[deed] = error
    run = recording(log)
    run.carry_out([NESTED, SECOND])
    assert [record.step for record in run.records] == ([SECOND] if "do" in deed else [NESTED, SECOND])
    assert not any(line.startswith("last resort") for line in log)
    assert run.undo() == []


def test_what_is_nested_and_cannot_be_put_back_is_an_error(log: list[str]) -> None:
    FakeAction.failing["held do /dev/one"] = RestoreError("It hangs.", "Wait.")
    with pytest.raises(RestoreError):
        recording(log).carry_out([NESTED, SECOND])
