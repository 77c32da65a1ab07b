# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next run as systemctl prints it."""

from __future__ import annotations

import pytest

from blksync.jobs.timers import parse

# systemd 252: systemctl list-timers --all --output=json 'blksync@*.timer'
PRINTED = """[
{"next":1795456800000000,"left":1795456800000000,"last":0,"passed":0,"unit":"blksync@travel.timer",
 "activates":"blksync@travel.service"},
{"next":0,"left":0,"last":0,"passed":0,"unit":"blksync@home-2.timer","activates":"blksync@home-2.service"},
{"next":null,"unit":"blksync@x.timer"},
{"next":1795456800000000,"unit":"fstrim.timer","activates":"fstrim.service"}]"""


def test_next_runs() -> None:
    assert parse(PRINTED) == {"travel": 1795456800.0}


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "NEXT LEFT\n", '{"next": 5}'])
def test_nothing_is_known_without_timers(text: str) -> None:
    assert parse(text) == {}
