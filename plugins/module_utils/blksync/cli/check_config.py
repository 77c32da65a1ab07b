# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ``blksync check-config`` command: checks job files."""

from __future__ import annotations

import argparse
import os

from ..engines.choice import choose
from ..errors import EngineError, JobError
from ..jobs import config
from . import messages
from .arguments import OK, USAGE


def run(options: argparse.Namespace) -> int:
    """Check the files named, or all of the config directory; print every problem.

    For a job of the config directory the engine is tried out too.
    """
    directory = options.config_dir
    files = options.files or [os.path.join(directory, name + config.SUFFIX) for name in config.names(directory)]
    wrong = 0
    for path in files:
        try:
            job = config.check_file(path, directory)
            if config.is_installed(
                path, directory
            ):  # the program is needed where the job runs, not where it is written
                choose(job.sync.engine)
            messages.say("%s: job %s is valid" % (path, job.name))
        except (JobError, EngineError) as error:
            messages.complain(error)
            wrong += 1
    if not files:
        messages.say("There are no jobs in %s." % directory)
    return USAGE if wrong else OK
