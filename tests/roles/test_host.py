# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host on which roles are tested: what its fakes know, and that nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.role_host import Host

pytestmark = pytest.mark.needs("root")

TIMER = "[Timer]\nOnCalendar={}\n[Install]\nWantedBy=timers.target\n"
LINK = "/etc/systemd/system/timers.target.wants/x@a.timer"


def test_a_started_timer_keeps_its_schedule_until_a_reload(host: Host) -> None:
    host.write("/etc/systemd/system/x@a.timer", TIMER.format("weekly"))
    assert host.command("systemctl", "enable", "--now", "x@a.timer").returncode == 0
    assert host.exists(LINK)
    host.write("/etc/systemd/system/x@a.timer", TIMER.format("daily"))
    shown = host.command("systemctl", "show", "-p", "NeedDaemonReload", "x@a.timer").stdout
    assert shown == "NeedDaemonReload=yes\n"
    assert "weekly" in host.loaded_text("x@a.timer")
    host.command("systemctl", "daemon-reload")
    assert host.unit("x@a.timer")["NeedDaemonReload"] == "no"
    assert "daily" in host.loaded_text("x@a.timer")
    assert host.changing_calls == ["systemctl enable --now x@a.timer", "systemctl daemon-reload"]


def test_the_service_of_a_timer_needs_a_reload_for_a_drop_in(host: Host) -> None:
    host.write("/etc/systemd/system/x@.service", "[Service]\nType=oneshot\n")
    host.write("/etc/systemd/system/x@a.timer", TIMER.format("weekly"))
    host.command("systemctl", "start", "x@a.timer")
    host.write("/etc/systemd/system/x@a.service.d/50.conf", "[Unit]\n")
    assert host.unit("x@a.service")["NeedDaemonReload"] == "yes"
    host.command("systemctl", "stop", "x@a.timer")
    assert host.unit("x@a.service")["NeedDaemonReload"] == "no"


def test_one_call_can_be_made_to_fail(host: Host) -> None:
    host.fail_at("udevadm control", 2)
    ends = [host.command("udevadm", *words).returncode for words in 3 * [("settle",), ("control", "--reload")]]
    assert ends == [0, 0, 0, 1, 0, 0]


def test_a_changed_tree_is_told_and_thrown_away(tmp_path: Path) -> None:
    before = Path("/etc/passwd").read_text()
    with Host(tmp_path).mount() as host:
        host.write("/etc/passwd", "")
        host.write("/usr/local/share/new/file", "")
        Path("/etc/hosts").unlink()
        assert host.tree() == [
            "/etc/passwd",
            "/usr/local/share/new/",
            "/usr/local/share/new/file",
            "removed /etc/hosts",
        ]
        assert host.tree("/usr") == ["/usr/local/share/new/", "/usr/local/share/new/file"]
    assert Path("/etc/passwd").read_text() == before
    assert Path("/etc/hosts").exists()
    assert not Path("/usr/local/share/new").exists()
