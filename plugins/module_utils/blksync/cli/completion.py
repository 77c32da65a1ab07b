# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync completion`` command: makes completion scripts from the definition of the command line."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass

from . import messages
from .arguments import OK, make_parser

# Prints the names of the jobs; the directory is the default one, as it is in nearly every call.
_JOBS = 'for f in /etc/blksync/*.json; do [ -e "$f" ] && f=${f##*/} && printf \'%s\\n\' "${f%.json}"; done'
_FISH_JOBS = "(for f in /etc/blksync/*.json; string replace -r '.*/(.*)\\.json' '$1' $f; end)"


@dataclass(frozen=True)
class Option:
    """One option: its names ("--check"), whether a value follows, the values to choose from, its help."""

    names: tuple[str, ...]
    takes_value: bool
    choices: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Command:
    """A subcommand (or with an empty name what stands before one) and what may follow it.

    ``operand`` is "JOB", "FILE" or empty, ``words`` are the fixed operands.
    """

    name: str
    text: str
    options: tuple[Option, ...]
    operand: str = ""
    words: tuple[str, ...] = ()


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    messages.say(script(options.shell, commands_of(make_parser())))
    return OK


def script(shell: str, commands: list[Command]) -> str:
    """The completion script for "bash", "zsh" or "fish"."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def commands_of(parser: argparse.ArgumentParser) -> list[Command]:
    """The command line as data: first what stands before a subcommand, then the subcommands."""
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}
    found = [_command("", "", parser)]
    found += [_command(name, texts[name], subparser) for name, subparser in subparsers.choices.items()]
    return found


def _command(name: str, text: str, parser: argparse.ArgumentParser) -> Command:
    options: list[Option] = []
    operand = ""
    words: tuple[str, ...] = ()
    for action in parser._actions:
        choices = tuple(map(str, action.choices or ())) if not isinstance(action, argparse._SubParsersAction) else ()
        if action.option_strings:
            options.append(Option(tuple(action.option_strings), action.nargs != 0, choices, _help(parser, action)))
        elif choices:
            words = choices
        elif action.metavar in ("JOB", "FILE"):
            operand = str(action.metavar)
    return Command(name, text, tuple(options), operand, words)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return (action.help or "") % {"default": action.default, "prog": parser.prog}


def _bash(commands: list[Command]) -> str:
    cases = "".join(_bash_case(command) for command in commands if command.name)
    top, names = commands[0], " ".join(command.name for command in commands if command.name)
    valued = "|".join(name for option in top.options if option.takes_value for name in option.names)
    return _BASH % {"jobs": _JOBS, "valued": valued, "top": " ".join(_names(top)), "names": names, "cases": cases}


_BASH = """\
# bash completion of blksync; for example: blksync completion bash > /etc/bash_completion.d/blksync
_blksync_jobs() { %(jobs)s; }
_blksync() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= words= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            %(valued)s) ((i++)) ;;
            -*) ;;
            *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $command in
        '') case $prev in
            %(valued)s) COMPREPLY=($(compgen -d -- "$cur")); return ;;
            *) words='%(top)s %(names)s' ;;
        esac ;;
%(cases)s    esac
    COMPREPLY+=($(compgen -W "$words" -- "$cur"))
}
complete -F _blksync blksync"""


def _bash_case(command: Command) -> str:
    values = "".join(
        "            %s) words=%s ;;\n" % ("|".join(option.names), shlex.quote(" ".join(option.choices)))
        for option in command.options
        if option.takes_value
    )
    words = " ".join([*_names(command), *command.words])
    jobs = " $(_blksync_jobs)" if command.operand == "JOB" else ""
    files = ' COMPREPLY=($(compgen -f -- "$cur"));' if command.operand == "FILE" else ""
    return '        %s) case $prev in\n%s            *)%s words="%s%s" ;;\n        esac ;;\n' % (
        command.name,
        values,
        files,
        words,
        jobs,
    )


def _zsh(commands: list[Command]) -> str:
    described = "\n".join("        %s" % shlex.quote("%s:%s" % (c.name, c.text)) for c in commands if c.name)
    cases = "".join(
        "        %s) _arguments %s ;;\n" % (command.name, " ".join(_zsh_arguments(command)))
        for command in commands
        if command.name
    )
    top = " ".join(_zsh_option(option) for option in commands[0].options)
    return _ZSH % {"jobs": _JOBS, "described": described, "top": top, "cases": cases}


_ZSH = """\
#compdef blksync
# zsh completion of blksync; for example: blksync completion zsh > /usr/local/share/zsh/site-functions/_blksync
_blksync_jobs() { setopt localoptions nonomatch; compadd -- $(%(jobs)s); }
_blksync() {
    local curcontext=$curcontext state line
    local -a commands=(
%(described)s
    )
    _arguments -C %(top)s '1: :->command' '*:: :->rest'
    case $state in
        command) _describe command commands ;;
        rest) case $words[1] in
%(cases)s        esac ;;
    esac
}
_blksync "$@\""""


def _zsh_arguments(command: Command) -> list[str]:
    found = [_zsh_option(option) for option in command.options]
    if command.words:
        found.append("'1: :(%s)'" % " ".join(command.words))
    if command.operand:
        found.append({"JOB": "'1:job:_blksync_jobs'", "FILE": "'*:file:_files'"}[command.operand])
    return found


def _zsh_option(option: Option) -> str:
    text = option.text.replace("[", "(").replace("]", ")").replace(":", " ")
    value = (
        ""
        if not option.takes_value
        else ":value:(%s)" % " ".join(option.choices)
        if option.choices
        else ":value:_files"
    )
    return " ".join(shlex.quote("%s[%s]%s" % (name, text, value)) for name in option.names)


def _fish(commands: list[Command]) -> str:
    lines = [
        "# fish completion of blksync; for example:",
        "# blksync completion fish > /etc/fish/completions/blksync.fish",
        "complete -c blksync -f",
    ]
    for command in commands:
        if command.name:
            lines.append(
                "complete -c blksync -n __fish_use_subcommand -a %s -d %s" % (command.name, _fish_quoted(command.text))
            )
        lines += _fish_command(command)
    return "\n".join(lines)


def _fish_command(command: Command) -> list[str]:
    when = "'__fish_seen_subcommand_from %s'" % command.name if command.name else "__fish_use_subcommand"
    start = "complete -c blksync -n %s" % when
    lines = []
    for option in command.options:
        names = " ".join("-l %s" % name[2:] if name.startswith("--") else "-s %s" % name[1:] for name in option.names)
        value = ""
        if option.takes_value:
            value = " -x -a '%s'" % " ".join(option.choices) if option.choices else " -r"
        lines.append("%s %s%s -d %s" % (start, names, value, _fish_quoted(option.text)))
    if command.words:
        lines.append("%s -a '%s'" % (start, " ".join(command.words)))
    if command.operand == "JOB":
        lines.append('%s -a "%s"' % (start, _FISH_JOBS))
    if command.operand == "FILE":
        lines.append("%s -F" % start)
    return lines


def _fish_quoted(text: str) -> str:
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


def _names(command: Command) -> list[str]:
    return [name for option in command.options for name in option.names]
