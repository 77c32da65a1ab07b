# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units as text."""

from __future__ import annotations

import pytest

from blksync.scheduling import units


def test_a_timer() -> None:
    lines = units.timer("travel", "Mon *-*-* 03:00", "1h").splitlines()
    assert "OnCalendar=Mon *-*-* 03:00" in lines
    assert "RandomizedDelaySec=1h" in lines


def test_the_settings_of_a_service() -> None:
    assert units.service_settings([], []) == "[Unit]\n"
    assert units.service_settings(["a.service"], ["b.service", "c.service"]).splitlines() == [
        "[Unit]",
        "OnSuccess=a.service",
        "OnFailure=b.service",
        "OnFailure=c.service",
    ]


@pytest.mark.parametrize(
    ("directory", "written"),
    [("/srv/my metrics", "/srv/my metrics"), ("/srv/100%", "/srv/100%%"), ('/srv/"a\\b"', '/srv/\\"a\\\\b\\"')],
)
def test_a_directory_stays_one_value(directory: str, written: str) -> None:
    assert units.metrics_settings(directory) == '[Service]\nReadWritePaths="-%s"\n' % written


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("Ansible managed", ["# Ansible managed"]),
        ("one\n\n[Service]\nExecStart=/bin/sh", ["# one", "# [Service]", "# ExecStart=/bin/sh"]),
        ("joined \\\nnext\\", ["# joined ", "# next"]),
        ("one\r\ntwo\x0bthree\u2028four", ["# one", "# two", "# three", "# four"]),
    ],
)
def test_every_line_is_a_comment(text: str, lines: list[str]) -> None:
    assert units.comment(text).splitlines() == lines
