# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The command line: subcommands, options, help and exit codes."""

from __future__ import annotations

import argparse
from typing import Any

from .. import __version__
from ..options import SyncRequest
from ..options.kinds import DISKS, FLAG, Option, options_of
from ..paths import JOB_DIR, STATE_DIR

OK, ERROR, USAGE, TARGET_ABSENT, NOT_GOOD, NEEDS_ROOT = range(6)

EXIT_CODES = """\
exit codes:
  0  done, whether or not anything had to change
  1  error, refusal, interruption, or an answer other than yes; for verify: the disks differ
  2  wrong usage, no such job, or an invalid job file
  3  the backup disk is absent (but sync exits 0 for a job whose when_absent is "skip")
  4  status: a job lacks the complete and fresh backups that it needs; without jobs: no disk is one
  5  needs root
"""
EXAMPLES = """\
examples:
  blksync disks                            list the disks and their identifiers
  blksync sync travel                      run the job /etc/blksync/travel.json
  blksync sync travel --check              only say what the job would write
  blksync sync --source 11111111 --target 22222222 --partitions 1,2
                                           show both disks and the plan, and ask
  blksync verify travel                    compare everything that the job copies; write nothing
  blksync status                           show how every backup disk stands, and what to do next
  blksync history travel                   show the runs of a job or disk, newest first
"""


class Parser(argparse.ArgumentParser):
    """A parser whose subcommands complain about their own arguments, with their own usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, which would leave the complaint to the main parser."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error("unrecognized arguments: %s" % " ".join(unknown))
        return found, unknown


def make_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="blksync",
        description="Keep a second disk ready to boot as a block-for-block backup of the main disk.",
        epilog="%s\n%s" % (EXAMPLES, EXIT_CODES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version="blksync %s" % __version__)
    parser.add_argument("--debug", action="store_true", help="also report failures that do no harm")
    parser.add_argument("--config-dir", metavar="DIR", default=JOB_DIR, help="directory of the job files (%(default)s)")
    parser.add_argument("--state-dir", metavar="DIR", default=STATE_DIR, help="directory of the history (%(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_sync(commands)
    _add_status(commands)
    _add_history(commands)
    _add_verify(commands)
    _add_disks(commands)
    _add_check_config(commands)
    _add_restore_state(commands)
    _add_completion(commands)
    return parser


# argparse gives its collection of subparsers no public name.
def _add(commands: argparse._SubParsersAction[Parser], name: str, text: str, epilog: str = "") -> Parser:
    return commands.add_parser(
        name,
        help=text[0].lower() + text[1:],
        description="%s." % text,
        epilog="%s\n%s" % (epilog, EXIT_CODES) if epilog else EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_sync(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "sync", "Make the backup disk equal to the main disk", SYNC_EXAMPLES)
    parser.add_argument("job", metavar="JOB", nargs="?", help="the job to run, with the options in its file")
    parser.add_argument("--check", action="store_true", help="only say what would be written; change nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--yes", action="store_true", help="without a job: do not show the plan and ask; a job never asks"
    )
    group = parser.add_argument_group("instead of a job")
    for name, option in options_of(SyncRequest).items():
        group.add_argument(flag(name, option), dest=name, default=None, **_taken(option))


def flag(name: str, option: Option) -> str:
    """How an option is written on the command line."""
    return "--%s%s" % ("no-" if option.default is True else "", name.replace("_", "-"))


def _taken(option: Option) -> dict[str, Any]:
    """What argparse must know of an option. Whether a value makes sense is checked later, for all options together."""
    if option.kind is FLAG:
        return {"action": "store_false" if option.default else "store_true", "help": option.help}
    if option.kind is DISKS:
        return {"action": "append", "metavar": option.metavar, "help": option.help}
    text = option.help if option.required else "%s (%s)" % (option.help, _written(option.default))
    metavar = option.metavar or None
    return {"type": option.kind.from_text, "choices": option.choices or None, "metavar": metavar, "help": text}


def _written(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


SYNC_EXAMPLES = """\
examples:
  blksync sync travel
  blksync sync --source 11111111 --target serial:S6XNNS0T --check
  blksync sync --source 11111111 --target 22222222 --verify full --power-off
  blksync sync --source 11111111 --target 22222222 --quiesce live --scope used --yes
"""


def _add_status(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "status", "Show how each backup disk of each job stands, and what to do next")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--textfile", action="store_true", help="print nothing; write the metrics of the jobs that have a textfile_dir"
    )


def _add_history(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "history", "Show the runs of the command, of jobs and of the modules, newest first")
    parser.add_argument("of", metavar="JOB|DISK", nargs="?", help="only the runs of this job, or on this disk")
    parser.add_argument("--limit", metavar="N", type=int, help="only the last N runs")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_verify(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "verify", "Compare everything that a job copies, byte by byte, and write nothing")
    parser.add_argument("job", metavar="JOB", help="the job whose disks are compared")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_disks(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "disks", "List the disks of this machine and their identifiers")
    parser.add_argument("--json", action="store_true", help="print all data about the disks as JSON")


def _add_check_config(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "check-config", "Check job files and report all mistakes")
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="job files to check (all files in the config directory)"
    )


def _add_restore_state(commands: argparse._SubParsersAction[Parser]) -> None:
    _add(commands, "restore-state", "Thaw and mount again what a killed run left frozen or unmounted")


def _add_completion(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add(commands, "completion", "Print the completion script of a shell")
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
