# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd's own parsers say against times. They are asked if this machine has them."""

from __future__ import annotations

import shutil

import pytest

from blksync.scheduling import ask
from blksync.system import programs

needs_systemd_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")


@needs_systemd_analyze
def test_times_that_systemd_understands() -> None:
    assert list(ask.time_errors([("a", "weekly"), ("b", "Mon..Fri *-*-* 03:00:00")], "15min")) == []


@needs_systemd_analyze
@pytest.mark.parametrize("schedule", ["sometimes", "720", "--help", "weekly --iterations=3"])
def test_a_schedule_that_systemd_does_not_understand(schedule: str) -> None:
    (error,) = ask.time_errors([("travel", schedule)], "15")
    assert str(error).startswith("Job travel: schedule is %r, which systemd does not understand: " % schedule)


@needs_systemd_analyze
def test_a_delay_that_systemd_does_not_understand() -> None:
    (error,) = ask.time_errors([], "a while")
    assert str(error).startswith("random_delay is 'a while', which systemd does not understand: ")


def test_programs_that_are_missing_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda _name: "")
    assert list(ask.time_errors([("travel", "sometimes")], "a while")) == []
    assert not ask.systemd_is_behind(["blksync@travel.service"])
    assert ask.devices_behind("new") == ()
