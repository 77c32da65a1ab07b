# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is notified, how, and that nothing depends on it."""

from __future__ import annotations

import logging
import os
import pwd
import socket
import tempfile
from pathlib import Path

import pytest

from blksync.errors import EngineError
from blksync.jobs import notify
from blksync.jobs.run import Result
from blksync.system import programs
from tests.support.machines import disk, mount, partition
from tests.support.reports import sync_report

USER = pwd.struct_passwd(("ann", "x", 1000, 1001, "", "/home/ann", "/bin/sh"))
TARGET = disk("sdb", 9, "22222222", model="T7", serial="S6X")


def make_bus(directories: Path, uid: int) -> None:
    (directories / str(uid)).mkdir()
    here = os.getcwd()
    os.chdir(directories / str(uid))  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as bus:
            bus.bind("bus")
    finally:
        os.chdir(here)


def make_program(directory: Path, name: str, lines: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{lines}\n")
    (directory / name).chmod(0o755)


def test_who_has_a_bus_of_their_own(tmp_path: Path) -> None:
    make_bus(tmp_path, os.geteuid())
    make_bus(tmp_path, 54321)  # it belongs to somebody else than its directory says
    (tmp_path / "7").mkdir()
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "bus").write_text("")
    (tmp_path / "name").mkdir()
    assert notify.users_with_bus(str(tmp_path)) == [os.geteuid()]
    assert notify.users_with_bus(str(tmp_path / "none")) == []


def test_the_command_becomes_that_user_only() -> None:
    command = notify.command_for(USER, "/run/user/1000", "-heading", "text", critical=True)
    assert command[:6] == ["setpriv", "--reuid=1000", "--regid=1001", "--init-groups", "env", "-i"]
    assert "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus" in command
    assert "XDG_RUNTIME_DIR=/run/user/1000" in command
    assert command[-3:] == ["--", "-heading", "text"]
    assert "--urgency=critical" in command


def test_without_the_programs_there_is_a_debug_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "DIRECTORIES", ())
    with caplog.at_level(logging.DEBUG):
        notify.notify_users("heading", "text")
    assert "notify-send, setpriv not found" in caplog.text


def test_a_program_that_fails_leaves_a_debug_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_bus(tmp_path, os.geteuid())
    make_program(tmp_path / "bin", "notify-send", "")
    make_program(tmp_path / "bin", "setpriv", "echo no desktop >&2; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    with caplog.at_level(logging.DEBUG):
        notify.notify_users("heading", "text", directories=str(tmp_path))
    assert "no desktop" in caplog.text


@pytest.mark.needs("root", "setpriv")
def test_the_real_setpriv_runs_it_as_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notify-send that writes down who it is; the user is nobody, who cannot look into pytest's directories."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        make_bus(directory, nobody.pw_uid)
        os.chown(directory / str(nobody.pw_uid) / "bus", nobody.pw_uid, -1)
        (directory / "said").mkdir()
        os.chown(directory / "said", nobody.pw_uid, -1)
        make_program(
            directory / "bin", "notify-send", f'(id -u; echo "$XDG_RUNTIME_DIR"; echo "$@") > {directory}/said/it'
        )
        monkeypatch.setattr(notify, "USER_PATH", f"{directory}/bin:/usr/bin:/bin")
        monkeypatch.setenv("PATH", f"{directory}/bin:/usr/bin:/bin")
        notify.notify_users("heading", "two words", directories=name)
        uid, runtime, arguments = (directory / "said" / "it").read_text().splitlines()
    assert (int(uid), runtime) == (nobody.pw_uid, f"{directory}/{nobody.pw_uid}")
    assert arguments.endswith("-- heading two words")


def test_what_is_said() -> None:
    done = Result("22222222", sync_report({}, {}, target=TARGET))
    assert notify.message("travel", [done]) == (
        "Backup disk can be disconnected",
        "The backup travel is complete: T7 S6X.",
    )
    home = partition("sda", 3, 8, size=1024, mounts=(mount("8:3", "/home"),))
    source = disk("sda", 8, "11111111", partition("sda", 1, 8), partition("sda", 2, 8), home)
    part = Result("22222222", sync_report({}, {}, source=source, target=TARGET))
    assert notify.message("travel", [part]) == (
        "Backup disk can be disconnected",
        "Backup travel: Partitions 1 and 2 are complete on T7 S6X; partition 3 (/home, 1.0 KiB) was not copied.",
    )
    failed = Result("33333333", None, EngineError("The program failed."))
    assert notify.message("travel", [done, failed]) == ("Backup travel failed", "The program failed.")
