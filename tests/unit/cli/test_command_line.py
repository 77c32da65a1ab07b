# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line takes and refuses, with what exit code, without a disk in sight."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from blksync import cli
from blksync.cli import main, messages
from blksync.cli.arguments import ERROR, NOT_GOOD, OK, TARGET_ABSENT, USAGE
from blksync.cli.sync import exit_code
from blksync.errors import BlksyncError, DiskAmbiguousError, EngineError, InvalidRequestError, Refusal, RefusedError
from blksync.jobs.run import Result
from blksync.system import privilege
from tests.tooling.paths import ROOT

JOB = {"version": 1, "name": "travel", "source": "11111111", "targets": [{"identifier": "22222222"}]}
PAIR = ["sync", "--source", "11111111", "--target", "22222222"]


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here comes after the question for root."""
    monkeypatch.setattr(privilege, "is_root", lambda: True)


@pytest.fixture
def directories(tmp_path: Path) -> list[str]:
    tmp_path.chmod(0o755)
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "etc" / "travel.json").write_text(json.dumps(JOB))
    return [f"--config-dir={tmp_path}/etc", f"--state-dir={tmp_path}/state"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["dance"], "invalid choice"),
        (["sync"], "Name a job, or both --source and --target"),
        (["sync", "--source", "11111111"], "both --source and --target"),
        (["sync", "travel", "--source", "11111111"], "--source does not go with a job"),
        (["sync", "travel", "--quiesce-timeout", "5"], "--quiesce-timeout does not go with a job"),
        (["sync", "travel", "--power-off"], "--power-off does not go with a job"),
        (["sync", "travel", "--no-compare", "--verify", "full"], "--verify and --no-compare do not go with a job"),
        (["sync", "travel", "--no-quiesce-fallback"], "--no-quiesce-fallback does not go with a job"),
        (["sync", "travel", "--scope", "all"], "--scope does not go with a job"),
        (["sync", "home"], "there is no such job"),
        (["sync", "../travel"], "not a job's name"),
        (["verify", "home"], "there is no such job"),
        (["verify"], "JOB"),
        ([*PAIR, "--partitions", "1;2"], "no partition number"),
        ([*PAIR, "--partitions", "0"], "partition numbers start at 1"),
        ([*PAIR, "--engine", "dd"], "invalid choice"),
        ([*PAIR, "--scope", "some"], "invalid choice"),
        ([*PAIR, "--scope", "used", "--engine", "blocksync_fast"], "whole partitions only"),
        ([*PAIR, "--quiesce-timeout", "0"], "at least 1"),
        ([*PAIR, "--quiesce-timeout", "long"], '--quiesce-timeout is "long"; give a whole number'),
        ([*PAIR, "--quiesce-timeout", "9" * 5000], "give a whole number"),
        ([*PAIR, "--block-size", "5000"], "invalid choice"),
        ([*PAIR, "--block-size", "4k"], "invalid choice"),
        ([*PAIR, "--compare"], "unrecognized arguments"),
        ([*PAIR, "--protected", "the big one"], "protected[0]: 'the big one' is no disk identifier"),
        ([*PAIR, "--target", "the big one"], "is no disk identifier"),
        (["completion", "tcsh"], "invalid choice"),
        (PAIR, "Add --yes to overwrite it without a question"),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, directories: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*directories, *arguments]) == USAGE
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    "arguments", [["sync", "travel", "--chek"], ["verify", "travel", "--fast"], ["status", "--sort", "age"]]
)
def test_a_typo_shows_the_usage_of_its_subcommand(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == USAGE
    printed = capsys.readouterr().err
    assert printed.startswith(f"usage: blksync {arguments[0]} ")
    assert f"blksync {arguments[0]}: error: unrecognized arguments: --" in printed


def test_candidates_stand_one_a_line() -> None:
    refusal = Refusal("a", "No disk has it. The disks:", "Plug it in.", ("/dev/sda (one)", "/dev/sdb (two)"))
    listed = ["    /dev/sda (one)", "    /dev/sdb (two)", "  Plug it in."]
    assert messages.lines(RefusedError((refusal,)))[1:] == ["- No disk has it. The disks:", *listed]
    error = DiskAmbiguousError("2 disks have it:", "Unplug one.", ["/dev/sda (one)", "/dev/sdb (two)"])
    assert messages.lines(error) == ["2 disks have it:", *listed[:2], "  Unplug one."]
    assert str(error) == "2 disks have it: /dev/sda (one); /dev/sdb (two). Unplug one."
    assert refusal.as_dict()["message"] == "No disk has it. The disks: /dev/sda (one); /dev/sdb (two)."


def test_all_that_is_wrong_is_told_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PAIR, "--partitions", "x", "--scope", "used", "--engine", "blocksync_fast"]) == USAGE
    lines = capsys.readouterr().err.splitlines()
    assert [line[:21] for line in lines] == ["blksync: --partitions", "blksync: blocksync-fa"]


@pytest.mark.parametrize("arguments", [["--help"], ["sync", "--help"], ["status", "--help"], ["verify", "--help"]])
def test_help_shows_examples_and_exit_codes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == OK
    printed = capsys.readouterr().out
    assert "exit codes:" in printed
    assert all(f"\n  {code}  " in printed for code in range(6))


def test_check_config(directories: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*directories, "check-config"]) == OK
    assert "job travel is valid" in capsys.readouterr().out
    wrong = tmp_path / "etc" / "wrong.json"
    wrong.write_text(json.dumps({**JOB, "source": 11111111, "colour": "red"}))
    assert main([*directories, "check-config"]) == USAGE
    printed = capsys.readouterr()
    assert "job travel is valid" in printed.out
    lines = printed.err.splitlines()
    assert len(lines) == 3  # also the name, which is not that of the file
    assert all(line.startswith(f"blksync: {wrong}: ") for line in lines)
    assert main([*directories, "check-config", str(tmp_path / "etc" / "travel.json")]) == OK
    assert main([*directories, "check-config", str(tmp_path / "none.json")]) == USAGE


def test_check_config_takes_a_file_under_another_name(directories: list[str], tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_text(json.dumps(JOB))
    assert main([*directories, "check-config", str(path)]) == OK


def test_check_config_tries_out_the_engine_of_installed_jobs_only(
    directories: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BLOCKSYNC_FAST", "/nowhere/blocksync-fast")
    text = json.dumps({**JOB, "engine": "blocksync_fast"})
    (tmp_path / "etc" / "travel.json").write_text(text)
    assert main([*directories, "check-config"]) == USAGE
    assert "The program blocksync-fast is not installed" in capsys.readouterr().err
    (tmp_path / "elsewhere").write_text(text)
    assert main([*directories, "check-config", str(tmp_path / "elsewhere")]) == OK


def test_status_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--config-dir={tmp_path}/none", "status"]) == OK
    assert "There are no jobs" in capsys.readouterr().out
    assert main([f"--config-dir={tmp_path}/none", "status", "--json"]) == OK
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"good": True, "jobs": [], "other_disks": [], "invalid": [], "problems": []}


def test_status_of_a_disk_that_never_came(directories: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*directories, "status"]) == NOT_GOOD
    assert "Nothing was ever copied to it" in capsys.readouterr().out
    assert main([*directories, "status", "--json"]) == NOT_GOOD
    printed = json.loads(capsys.readouterr().out)
    assert (printed["good"], [disk["state"] for disk in printed["jobs"][0]["disks"]]) == (False, ["never"])


def test_metrics_of_a_disk_that_never_came(directories: list[str], tmp_path: Path) -> None:
    job = {**JOB, "name": "home", "textfile_dir": str(tmp_path)}
    (tmp_path / "etc" / "home.json").write_text(json.dumps(job))
    assert main([*directories, "status", "--textfile"]) == OK
    assert 'blksync_job_good{job="home"} 0.0\n' in (tmp_path / "blksync_home.prom").read_text()
    assert not (tmp_path / "blksync_travel.prom").exists()
    (tmp_path / "etc" / "home.json").write_text(json.dumps({**job, "textfile_dir": str(tmp_path / "none")}))
    assert main([*directories, "status", "--textfile"]) == ERROR


def test_history_of_nothing(directories: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*directories, "history"]) == OK
    assert main([*directories, "history", "travel"]) == OK
    assert main([*directories, "history", "unknown"]) == USAGE
    assert main([*directories, "history", "--limit", "0"]) == USAGE
    assert "No run is known of unknown" in capsys.readouterr().err


def test_status_shows_the_others_beside_an_invalid_job(
    directories: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etc" / "wrong.json").write_text("{")
    assert main([*directories, "status"]) == USAGE
    printed = capsys.readouterr()
    assert "travel" in printed.out
    assert "wrong.json: not JSON" in printed.err


ABSENT = RefusedError((Refusal("target_disk_not_found", "No disk."),))
BOTH = RefusedError((Refusal("source_disk_not_found", "No disk."), Refusal("target_disk_not_found", "No disk.")))


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([None], OK),
        ([None, None], OK),
        ([ABSENT], TARGET_ABSENT),
        ([None, ABSENT], TARGET_ABSENT),
        ([BOTH], ERROR),
        ([InvalidRequestError("x")], USAGE),
        ([EngineError("x"), None], ERROR),
        ([ABSENT, EngineError("x")], ERROR),
        ([ABSENT, InvalidRequestError("x")], ERROR),
    ],
)
def test_exit_code_of_several_targets(errors: list[BlksyncError | None], code: int) -> None:
    assert exit_code(tuple(Result("22222222", None, error) for error in errors)) == code


def test_refusals_stand_one_a_line_with_their_hints() -> None:
    error = RefusedError((Refusal("a", "First.", "Do this."), Refusal("b", "Second.")))
    assert messages.lines(error) == ["refused, nothing was written:", "- First.", "  Do this.", "- Second."]


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (EngineError("It broke.", "Run again."), ERROR, "blksync: It broke.\nblksync:   Run again.\n"),
        (InvalidRequestError("Nonsense."), USAGE, "blksync: Nonsense.\n"),
        (PermissionError(13, "Permission denied", "/dev/sda"), ERROR, "blksync: /dev/sda: Permission denied.\n"),
        (KeyboardInterrupt(), ERROR, "Interrupted."),
    ],
)
def test_whatever_a_command_raises_is_told_without_a_traceback(
    raised: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_options: object) -> int:
        raise raised

    monkeypatch.setitem(cli.COMMANDS, "disks", failing)
    assert main(["disks"]) == code
    assert words in capsys.readouterr().err


COMMAND = [sys.executable, "-c", "import sys; from blksync.cli import main; sys.exit(main())"]
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT / "plugins" / "module_utils"), PYTHONDONTWRITEBYTECODE="1")


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "completion", "bash"]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (OK, b"")


def test_closed_standard_streams_do_no_harm(tmp_path: Path) -> None:
    command = f"exec {shlex.join(COMMAND)} --config-dir={tmp_path}/none status >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", command], env=ENVIRONMENT, check=False).returncode == OK
