# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync`` command, which runs the core from a terminal or from systemd."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Callable, Sequence

from ..errors import BlksyncError, InvalidRequestError
from ..system.signals import fill_standard_descriptors
from . import check_config, completion, disks, messages, restore_state, status, sync, verify
from .arguments import ERROR, USAGE, make_parser

COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "sync": sync.run,
    "status": status.run,
    "verify": verify.run,
    "disks": disks.run,
    "check-config": check_config.run,
    "restore-state": restore_state.run,
    "completion": completion.run,
}


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
        return COMMANDS[options.command](options)
    except BlksyncError as error:
        messages.complain(error)
        return USAGE if isinstance(error, InvalidRequestError) else ERROR
    except OSError as error:
        messages.complain(BlksyncError("%s." % error, "Most commands need root." if error.errno in (1, 13) else ""))
        return ERROR
    except KeyboardInterrupt:
        messages.complain(BlksyncError("Interrupted."))
        return ERROR
