# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync`` command, which runs the core from a terminal or from systemd."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Callable, Sequence

from ..errors import BlksyncError, InvalidRequestError, NeedsRootError, described
from ..system import privilege
from ..system.signals import fill_standard_descriptors
from . import check_config, completion, disks, history, messages, restore_state, status, sync, verify
from .arguments import ERROR, NEEDS_ROOT, USAGE, make_parser

COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "sync": sync.run,
    "status": status.run,
    "history": history.run,
    "verify": verify.run,
    "disks": disks.run,
    "check-config": check_config.run,
    "restore-state": restore_state.run,
    "completion": completion.run,
}
# The others only read files that everybody may read; "disks" says what it could not read.
ROOT_ONLY = ("sync", "verify", "restore-state")
AS_ROOT = "Run it as root, for example with sudo."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    fill_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a label may hold what the terminal cannot show
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit as done:
        return int(done.code or 0)
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.WARNING, format="blksync: %(message)s")
    try:
        if options.command in ROOT_ONLY:
            privilege.require_root("blksync %s" % options.command, AS_ROOT)
        return COMMANDS[options.command](options)
    except BlksyncError as error:
        messages.complain(error)
        return _code(error)
    except OSError as error:
        denied = isinstance(error, PermissionError) and not privilege.is_root()
        messages.complain(BlksyncError("%s." % described(error), AS_ROOT if denied else ""))
        return NEEDS_ROOT if denied else ERROR
    except KeyboardInterrupt:
        messages.complain(BlksyncError("Interrupted."))
        return ERROR


def _code(error: BlksyncError) -> int:
    if isinstance(error, NeedsRootError):
        return NEEDS_ROOT
    return USAGE if isinstance(error, InvalidRequestError) else ERROR
