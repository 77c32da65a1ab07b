# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion scripts that the shells themselves accept, and that know every option."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from blksync.cli.arguments import make_parser
from blksync.cli.completion import commands_of, script
from tests.support.command import InTerminal

COMMANDS = commands_of(make_parser())
NAMES = ["sync", "status", "history", "verify", "disks", "check-config", "restore-state", "completion"]


def test_every_command_and_option_is_known() -> None:
    assert [command.name for command in COMMANDS] == ["", *NAMES]
    sync = next(command for command in COMMANDS if command.name == "sync")
    assert sync.operand == "JOB"
    engine = next(option for option in sync.options if "--engine" in option.names)
    assert engine.choices == ("auto", "native", "blocksync_fast")
    quiesce = next(option for option in sync.options if "--quiesce" in option.names)
    assert quiesce.choices == ("auto", "live", "freeze", "none")
    size = next(option for option in sync.options if "--block-size" in option.names)
    assert size.choices[:2] == ("4096", "8192")
    assert {"--check", "--power-off", "--no-quiesce-fallback", "--no-compare"} <= {
        name for option in sync.options for name in option.names if not option.takes_value
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_valid(shell: str, tmp_path: Path) -> None:
    """``-n``: parse, run nothing."""
    if subprocess.run(["sh", "-c", f"command -v {shell}"], capture_output=True, check=False).returncode:
        pytest.skip(f"needs the command {shell}")
    path = tmp_path / "script"
    path.write_text(script(shell, COMMANDS) + "\n")
    checked = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.needs("shellcheck")
def test_shellcheck_finds_no_error(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(script("bash", COMMANDS) + "\n")
    command = ["shellcheck", "--shell=bash", "--severity=error", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.needs("bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sy", "sync"),
        ("--state-dir /x ver", "verify"),
        ("sync --ch", "--check"),
        ("sync --engine na", "native"),
        ("sync --quiesce li", "live"),
        ("sync --scope u", "used"),
        ("sync --no-q", "--no-quiesce-fallback"),
        ("completion f", "fish"),
        ("--debug status --j", "--json"),
    ],
)
def test_bash_completes(line: str, expected: str) -> None:
    words = " ".join(["blksync", *line.split()])
    count = len(line.split())
    program = f'{script("bash", COMMANDS)}\nCOMP_WORDS=({words}) COMP_CWORD={count}; _blksync; echo "${{COMPREPLY[@]}}"'
    answer = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == expected


@pytest.mark.needs("fish")
def test_fish_completes(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(script("fish", COMMANDS) + "\n")
    asked = subprocess.run(
        ["fish", "--no-config", "-c", f"source {path}; complete -C 'blksync sync --eng'; complete -C 'blksync stat'"],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert [line.split("\t")[0] for line in asked.stdout.splitlines()] == ["--engine", "status"]


@pytest.mark.needs("zsh")
def test_zsh_completes(tmp_path: Path) -> None:
    (tmp_path / "_blksync").write_text(script("zsh", COMMANDS) + "\n")
    with InTerminal(["zsh", "-f", "-i"]) as shell:
        shell.press(f"PS1=; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n".encode())
        shell.read_until("ready\r\n")
        for typed, shown in (
            ("--debug sync --engine na", "native"),
            ("verify --j", "--json"),
            ("completion f", "fish"),
        ):
            shell.press(f"blksync {typed}\t".encode())
            shell.read_until(shown)
            shell.press(b"\x15")  # Ctrl-U: an empty line again
